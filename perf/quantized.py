"""Figures of quantised networks: python perf/quantized.py [--network nats] [--budget 150] [--seeds 3].

The script trains a small network on the images of NASCTL_DATA with `nasctl train`, which a second call skips. It prints

1. the accuracy on test images and the size of the network in float32, with uniform 8, 6 and 4 bits in all layers, and
   the hypervolume of these beside that of the fronts that searches of several seeds find, judged on the same images;
2. the accuracy with uniform and with power levels at 4, 3 and 2 bits;
3. the processor seconds that the candidates of the first search take one after another, and as separate modules.

Inputs of layers have 8 bits. Searches see validation images alone. The box of hypervolumes reaches from chance to 100%
and from 0 bytes to the size in float32.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import moocore
import numpy as np
import torch
from torch import Tensor

from nasctl import registry
from nasctl.architectures.references import reference_names
from nasctl.candidates.candidate import Candidate
from nasctl.candidates.determinism import deterministic_torch
from nasctl.candidates.setting import Setting
from nasctl.compression.labelled_data import labelled_data
from nasctl.compression.quantized_space import new_quantizer
from nasctl.compression.variant_accuracy import validation_batches
from nasctl.data import source
from nasctl.search.run import Run
from nasctl.store.store import Store
from nasctl.supernets.inherited_quality import DEFAULT_IMAGES
from nasctl.training.evaluation import accuracy_error
from nasctl.training.folder import CURRENT_STORE

NETWORKS = {  # name of the training: space and genome
    "nats": ("nats_size:resolution=16", "1,1,2,2,3"),
    "macro": ("nbmacro:resolution=16,classes=10", "1,2,1,2,1,2,1,2"),
}

OPTIONS = "activations=8"

TIMED = 5  # candidates that are evaluated as separate modules


class Judge:
    """Accuracies on test images, in per cent, and sizes in bytes.

    Args:
        spec: Spec of the space.
        data: Path of the data.
    """

    def __init__(self, spec: str, data: str) -> None:
        self.space = registry.create("spaces", spec)
        found = labelled_data(self.space.base, data)
        pixels, labels = found.examples("test", np.arange(found.size("test")))
        self.batches = list(self.space.base.normalised(torch.from_numpy(pixels)).split(100))
        self.labels = torch.from_numpy(labels)
        self._run, self._size = self.space.evaluator(self.batches), registry.create("objectives", "size")

    def accuracy(self, outputs: Sequence[Tensor]) -> float:
        """Return the accuracy of outputs for the test images."""
        return 100 * float((torch.cat(list(outputs)).argmax(1) == self.labels).double().mean())

    def point(self, genome: tuple[int, ...]) -> tuple[float, float]:
        """Return accuracy and size of a variant."""
        candidate = Candidate(self.space, genome, Setting(), frozenset({"network"}))
        return self.accuracy(self._run(genome)), self._size(candidate)

    def uniform(self, bits: int, levels: str = "uniform") -> tuple[int, ...]:
        """Return the genome with the same choices in all layers."""
        picks = {"weights": bits, "levels": levels}
        genome = (gene.choices.index(picks[gene.name.rpartition(".")[2]]) for gene in self.space.genes)
        found: tuple[int, ...] = self.space.canonical(tuple(genome))
        return found


def trained(name: str, data: str, epochs: int, store: str) -> None:
    """Train a network, or go on with its training."""
    space, genome = NETWORKS[name]
    words = ["--space", space, "--arch", genome, "--data", data, "--epochs", str(epochs), "--name", name]
    command = [sys.executable, "-m", "nasctl", "train", *words, "--threads", "1", "--store", store]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def volume(points: Sequence[tuple[float, float]], size: float) -> float:
    """Return the share of the box that points dominate: accuracies above chance, and sizes below that in float32."""
    losses = np.array([[(100 - accuracy) / 90, found / size] for accuracy, found in points])
    return float(moocore.hypervolume(losses, ref=np.ones(2)))


def search_figures(judge: Judge, spec: str, data: str, budget: int, seeds: int, size: float) -> None:
    """Print the hypervolumes of searches, and the speed of the first one."""
    plain = [judge.point(judge.uniform(bits)) for bits in (8, 6, 4)]
    for bits, (accuracy, found) in zip((8, 6, 4), plain, strict=True):
        print(f"uniform {bits} bits: {accuracy:.1f}%, {found / 1000:.1f} kB")
    print(f"hypervolume of uniform 8, 6, 4 bits: {volume(plain, size):.4f}", flush=True)
    for seed in range(seeds):
        objectives = ("accuracy", "size")
        setting, first_ones = Setting(source(data)), tuple(reference_names(judge.space))
        run = Run(spec, objectives, seed=seed, setting=setting, references=first_ones)
        start = time.perf_counter()
        with TemporaryDirectory() as folder:
            seen = [visit.evaluation for visit in run.search(Store(Path(folder) / "search.db"), budget)]
        seconds = time.perf_counter() - start
        values = np.array([[-one.values[objectives[0]], one.values["size"]] for one in seen])
        front = [k for k, one in enumerate(values) if not ((values <= one).all(1) & (values < one).any(1)).any()]
        points = [judge.point(seen[k].genome) for k in front]
        dominated = [any(a >= b[0] and c <= b[1] for a, c in points) for b in plain]
        print(
            f"search, seed {seed}: hypervolume {volume(points, size):.4f}, {len(front)} on the front, dominates"
            f" {sum(dominated)} of 3 uniform ones on test images; {seconds:.0f} s",
            flush=True,
        )
        if not seed:
            speed(judge, data, [one.genome for one in seen])


def speed(judge: Judge, data: str, genomes: Sequence[tuple[int, ...]]) -> None:
    """Print the processor seconds of candidates that are evaluated in turn, and of separate modules."""
    space = judge.space
    batches, _ = validation_batches(space.base, labelled_data(space.base, data), DEFAULT_IMAGES)
    some = [genomes[k] for k in np.linspace(0, len(genomes) - 1, TIMED).astype(int)]
    built, run = [], []
    for genome in some:
        start = time.process_time()
        module = new_quantizer(space.variants).module(space.variants.choices(genome))
        middle = time.process_time()
        with torch.no_grad():
            for batch in batches:
                module(batch)
        built.append(middle - start)
        run.append(time.process_time() - middle)
    start = time.process_time()
    outputs = space.variants.evaluator(batches, new_quantizer(space.variants))
    for genome in genomes:
        outputs(genome)
    whole = (time.process_time() - start) / len(genomes)
    print(
        f"processor seconds of a candidate, {DEFAULT_IMAGES} images, mean of {len(genomes)}: {whole:.3f} in turn; as a"
        f" separate module {np.mean(run):.3f} to run it and {np.mean(built):.3f} to calibrate and quantise it ({TIMED}"
        f" candidates): {whole / (np.mean(run) + np.mean(built)):.2f} of both, {whole / np.mean(run):.2f} of running"
    )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=NETWORKS, default="nats")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--budget", type=int, default=150)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--store", default="quantized.db", help="store of the training [default: quantized.db]")
    given = parser.parse_args()
    data = str(Path(os.environ["NASCTL_DATA"]) / "images" / "cifar10_train_12000.zip")
    trained(given.network, data, given.epochs, given.store)
    CURRENT_STORE.set(given.store)
    spec = f"quantized:of={given.network},{OPTIONS},data={data}"
    with deterministic_torch(1):
        judge = Judge(spec, data)
        with torch.no_grad():
            exact = judge.accuracy([judge.space.base.module()(batch) for batch in judge.batches])
        size, number = 4 * judge.space.base.network.params, len(judge.labels)
        error = 100 * accuracy_error(exact / 100, number)
        print(f"{given.network}, float32: {exact:.1f}% ± {error:.1f} on {number:,} test images, {size / 1000:.1f} kB")
        for bits in (4, 3, 2):
            found = [judge.point(judge.uniform(bits, levels))[0] for levels in ("uniform", "power")]
            print(f"{bits} bits: uniform levels {found[0]:.1f}%, power levels {found[1]:.1f}%", flush=True)
        search_figures(judge, spec, data, given.budget, given.seeds, size)


if __name__ == "__main__":
    main()

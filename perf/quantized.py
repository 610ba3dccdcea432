"""Figures of quantised networks: python perf/quantized.py [--network nats] [--budget 60] [--seeds 3] [--learned].

The script trains a small network on the images of NASCTL_DATA, which a second call skips: `nats` and `mbconv` with
`nasctl train`, and `resnet`, a module without nasctl in a file that the script writes. It prints

1. the accuracy on test images with uniform and with power levels, rounded to the nearest level and by learned
   rounding, at 4, 3 and 2 bits, and the processor seconds;
2. the accuracy with uniform and with power levels of the inputs of layers, at 4, 3 and 2 bits, behind weights of 8
   bits;
3. the hypervolume of networks with the same bits in all layers beside that of the fronts that guided and random
   searches of several seeds find, all judged on the test images;
4. the processor seconds that the candidates of the first search take one after another, and as separate modules.

Inputs of layers have 8 uniform bits otherwise. `--seeds 0` leaves the searches out. These see validation images alone,
and begin with the same bits in all layers. The box of hypervolumes reaches from the accuracy of guessing to 100%, and
from 0 bytes to the size in float32.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from tempfile import TemporaryDirectory

import moocore
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from nasctl import registry
from nasctl.architectures.references import reference_names
from nasctl.bench.published import published_path
from nasctl.candidates.candidate import Candidate
from nasctl.candidates.determinism import deterministic_torch
from nasctl.candidates.setting import Setting
from nasctl.compression.labelled_data import labelled_data
from nasctl.compression.quantized_space import new_quantizer
from nasctl.compression.variant_accuracy import validation_batches
from nasctl.data import source
from nasctl.problem.space import Input
from nasctl.search.run import Run
from nasctl.store.store import Store
from nasctl.supernets.inherited_quality import DEFAULT_IMAGES
from nasctl.training.evaluation import accuracy_error
from nasctl.training.folder import CURRENT_STORE
from nasctl.training.labelled import TrainingData, training_data

NETWORKS = {  # space and architecture of trainings of nasctl
    "nats": ("nats_size:resolution=16", "1,1,2,2,3"),
    "mbconv": ("mbconv:width=0.35,resolution=32", "mobilenetv3-large"),
}

USUAL_EPOCHS = {"nats": 8, "mbconv": 4, "resnet": 4}

OPTIONS = "activations=8"

INPUT_OPTIONS = "weights=8,levels=uniform,activations=2,3,4,8,input_levels=both"

TIMED = 5  # candidates that are evaluated as separate modules

RESNET = """
from pathlib import Path

import torch
from torch import nn

SIZE, MEAN, DEVIATION = {size}, {mean}, {deviation}
CLASSES = {classes}


class Block(nn.Module):
    def __init__(self, before, channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(before, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.down = None
        if stride > 1:
            self.down = nn.Sequential(nn.Conv2d(before, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x):
        out = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(out + (x if self.down is None else self.down(x)))


class ResNet20(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        stages = [[(16, 16, 1)] * 3, [(16, 32, 2), *[(32, 32, 1)] * 2], [(32, 64, 2), *[(64, 64, 1)] * 2]]
        self.blocks = nn.Sequential(*[Block(*one) for stage in stages for one in stage])
        self.head = nn.Linear(64, len(CLASSES))

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


def net():
    made = ResNet20()
    made.load_state_dict(torch.load(Path(__file__).with_name("resnet20.pt")))
    return made
"""


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
        picks = {"weights": bits, "levels": levels, "inputs": bits, "input_levels": levels}
        genome = (gene.choices.index(picks[gene.name.rpartition(".")[2]]) for gene in self.space.genes)
        found: tuple[int, ...] = self.space.canonical(tuple(genome))
        return found


def trained(name: str, data: str, epochs: int, store: str) -> None:
    """Train a network of nasctl, or go on with its training."""
    space, arch = NETWORKS[name]
    words = ["--space", space, "--arch", arch, "--data", data, "--epochs", str(epochs), "--name", name]
    command = [sys.executable, "-m", "nasctl", "train", *words, "--threads", "1", "--store", store]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def given_network(name: str, data: str, epochs: int | None, store: str) -> str:
    """Train a network of `USUAL_EPOCHS` that is not trained yet, and return it as the option `of` takes it."""
    epochs = epochs or USUAL_EPOCHS[name]
    if name in NETWORKS:
        trained(name, data, epochs, store)
        return name
    with deterministic_torch(1):
        return own_resnet(data, epochs, Path(store).absolute().parent)


def own_resnet(path: str, epochs: int, folder: Path) -> str:
    """Train a ResNet-20 at 16 pixels without nasctl, unless its weights are there, and return its FILE.py:NAME."""
    file, weights = folder / "resnet20.py", folder / "resnet20.pt"
    data = training_data(path, Input((3, 16, 16)), None, "0.8,0.1,0.1", 0)
    facts = {"size": (16, 16), "mean": data.mean, "deviation": data.deviation, "classes": data.class_names}
    file.write_text(RESNET.format(**facts))
    if not weights.exists():
        torch.manual_seed(0)
        spec = spec_from_file_location("resnet20", file)
        assert spec is not None
        assert spec.loader is not None
        spec.loader.exec_module(made := module_from_spec(spec))
        torch.save(fitted(made.ResNet20(), data, epochs).state_dict(), weights)
    return f"{file}:net"


def fitted(net: nn.Module, data: TrainingData, epochs: int) -> nn.Module:
    """Train a module with SGD, flips and shifts of up to two pixels."""
    pixels, labels = map(torch.from_numpy, data.examples("train", np.arange(data.size("train"))))
    mean, deviation = (torch.tensor(one).view(1, -1, 1, 1) for one in (data.mean, data.deviation))
    images, batch = pad((pixels - mean) / deviation, (2, 2, 2, 2)).float(), 64
    steps = epochs * (len(images) // batch)
    optimiser = torch.optim.SGD(net.parameters(), 0.1, 0.9, weight_decay=5e-4, nesterov=True)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.1, steps)
    order = torch.randperm(len(images))
    for step in range(steps):
        at = step % (len(images) // batch) * batch
        if not at:
            order = torch.randperm(len(images))
        some = order[at : at + batch]
        top, left = torch.randint(5, (2,)).tolist()
        x = images[some, :, top : top + 16, left : left + 16]
        loss = cross_entropy(net(x.flip(3) if torch.rand(()) < 0.5 else x), labels[some])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        rates.step()
    return net.eval()


def volume(points: Sequence[tuple[float, float]], size: float, guessing: float) -> float:
    """Return the share of the box that points dominate: accuracies above guessing, and sizes below that in float32."""
    losses = np.array([[(100 - accuracy) / (100 - guessing), found / size] for accuracy, found in points])
    return float(moocore.hypervolume(losses, ref=np.ones(2)))


def level_figures(spec: str, data: str) -> None:
    """Print the accuracies of levels and of roundings at few bits."""
    for learned in ("off", "on"):
        judge, start = Judge(f"{spec},learned={learned}", data), time.process_time()
        for bits in (4, 3, 2):
            found = [judge.point(judge.uniform(bits, levels))[0] for levels in ("uniform", "power")[: bits - 1]]
            shown = ", ".join(
                f"{levels} levels {one:.1f}%" for levels, one in zip(("uniform", "power"), found, strict=False)
            )
            print(f"{bits} bits, rounding {'learned' if learned == 'on' else 'to nearest'}: {shown}", flush=True)
        print(f"  {time.process_time() - start:.0f} processor seconds with calibration and test images")


def input_figures(spec: str, data: str) -> None:
    """Print the accuracies of levels of inputs at few bits."""
    judge = Judge(spec, data)
    for bits in (8, 4, 3, 2):
        found = [judge.point(judge.uniform(bits, levels))[0] for levels in ("uniform", "power")]
        print(f"inputs of {bits} bits: uniform levels {found[0]:.1f}%, power levels {found[1]:.1f}%", flush=True)


def search_figures(judge: Judge, spec: str, data: str, budget: int, seeds: int, size: float) -> None:
    """Print the hypervolumes of searches, and the speed of the first one."""
    guessing = 100 / len(judge.space.calibration.class_names)
    every = {bits: judge.point(judge.uniform(bits)) for bits in judge.space.variants.weights}
    plain = [every[bits] for bits in (8, 6, 4)]
    for bits, (accuracy, found) in every.items():
        print(f"uniform {bits} bits: {accuracy:.1f}%, {found / 1000:.1f} kB")
    print(f"hypervolume of uniform 8, 6, 4 bits: {volume(plain, size, guessing):.4f}")
    powers = [judge.point(judge.uniform(bits, "power")) for bits in every]
    whole = volume([*every.values(), *powers], size, guessing)
    print(f"hypervolume of the same bits and levels in all layers, {len(every)} bits: {whole:.4f}", flush=True)
    for searcher in ("guided", "random"):
        for seed in range(seeds):
            start = time.perf_counter()
            seen, front = searched(judge, spec, data, searcher, seed, budget)
            seconds = time.perf_counter() - start
            points = [judge.point(one) for one in front]
            dominated = [any(a >= b[0] and c <= b[1] for a, c in points) for b in plain]
            print(
                f"{searcher} search, seed {seed}: hypervolume {volume(points, size, guessing):.4f}, {len(front)} on the"
                f" front, dominates {sum(dominated)} of uniform 8, 6, 4 bits on test images; {seconds:.0f} s",
                flush=True,
            )
            if searcher == "guided" and not seed:
                speed(judge, data, seen)


def searched(
    judge: Judge, spec: str, data: str, searcher: str, seed: int, budget: int
) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Return the genomes of a search, and those on its front by accuracy on validation images and size."""
    objectives = ("accuracy", "size")
    setting, first_ones = Setting(source(data)), tuple(reference_names(judge.space))
    run = Run(spec, objectives, searcher, seed=seed, setting=setting, references=first_ones)
    with TemporaryDirectory() as folder:
        seen = [visit.evaluation for visit in run.search(Store(Path(folder) / "search.db"), budget)]
    values = np.array([[-one.values[objectives[0]], one.values["size"]] for one in seen])
    front = [k for k, one in enumerate(values) if not ((values <= one).all(1) & (values < one).any(1)).any()]
    return [one.genome for one in seen], [seen[k].genome for k in front]


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
    parser.add_argument("--network", choices=USUAL_EPOCHS, default="nats")
    parser.add_argument("--epochs", type=int, help="epochs of the training [default: 4, or 8 for nats]")
    parser.add_argument("--budget", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=3, help="searches of each kind; 0 for none [default: 3]")
    parser.add_argument("--learned", action="store_true", help="search with learned rounding; leave part 1 out")
    parser.add_argument("--store", default="quantized.db", help="store of the training [default: quantized.db]")
    given = parser.parse_args()
    data = str(published_path("images/cifar10_train_12000.zip"))
    CURRENT_STORE.set(given.store)
    of = given_network(given.network, data, given.epochs, given.store)
    spec = f"quantized:of={of},{OPTIONS},data={data}{',learned' if given.learned else ''}"
    with deterministic_torch(1):
        judge = Judge(spec, data)
        with torch.no_grad():
            exact = judge.accuracy([judge.space.base.module()(batch) for batch in judge.batches])
        size, number = 4 * judge.space.base.network.params, len(judge.labels)
        error = 100 * accuracy_error(exact / 100, number)
        print(f"{given.network}, float32: {exact:.1f}% ± {error:.1f} on {number:,} test images, {size / 1000:.1f} kB")
        if not given.learned:
            level_figures(spec, data)
            input_figures(f"quantized:of={of},{INPUT_OPTIONS},data={data}", data)
        search_figures(judge, spec, data, given.budget, given.seeds, size)


if __name__ == "__main__":
    main()

"""Figures of int8 files: python perf/int8.py [--network nats] [--runtime onnxruntime] [--folder int8-figures].

The script trains a small network on the images of NASCTL_DATA with `nasctl train`, profiles its space on this machine
in float32 and in int8 with `nasctl device profile`, and exports the network with `nasctl export --int8`. A second call
with the same folder repeats neither the training nor the profiles. It prints, for both precisions,

1. the accuracy of the file on validation images, with its standard error, and its size;
2. the latency of the file for one image on one thread, as the median of 20 processes with its quartiles, half of them
   before the profile of that precision and half after it, and the latency that the table predicts;
3. the table's error on 40 whole networks of the space that took no part in its fits.

Files take pixels and normalise them, which the networks of a table do not. Nothing else should run on the machine. On a
virtual machine whose host others use, one process may take 1.5 times as long as the next, hence the many processes at
both ends of the profile.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import sqrt
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import numpy as np
from quantized import NETWORKS as QUANTIZED_NETWORKS

from nasctl import registry
from nasctl.bench.published import published_path
from nasctl.hardware.profiling.timing import time_in_turn
from nasctl.hardware.runtimes import load_runtime
from nasctl.hardware.table import LatencyTable

# Space and genome by the name of the training; an empty genome is that of all first choices.
NETWORKS = {
    **QUANTIZED_NETWORKS,
    "mbconv": ("mbconv:width=0.5,resolution=64,classes=10", ""),
    "nbmacro": ("nbmacro:resolution=16", "1,1,1,1,1,1,1,1"),
}
PRECISIONS = ("float32", "int8")
QUARTILES = (0.25, 0.5, 0.75)
PROCESSES = 10  # that time the files one after another, before and after a profile
ROUNDS = 4  # of timing in a process
SECONDS = 0.3  # time of each round of a file


@dataclass(frozen=True)
class DeployedFile:
    """An exported file, as a runtime takes a network to time."""

    path: Path
    shape: tuple[int, ...]  # of one image, (C, H, W)

    @cached_property
    def onnx_content(self) -> bytes:
        """The content of the file."""
        return self.path.read_bytes()

    @cached_property
    def feed(self) -> dict[str, np.ndarray]:
        """Random pixels, (1, C, H, W), by the name of the input."""
        pixels = np.random.default_rng(0).integers(256, size=(1, *self.shape))
        return {"input": pixels.astype(np.float32)}


def command(*words: str) -> str:
    """Return what a command of nasctl prints."""
    line = [sys.executable, "-m", "nasctl", *words]
    return subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True).stdout


def exported(name: str, given: argparse.Namespace) -> dict[str, dict]:
    """Train a network, or go on with its training, and return the facts of its float32 and its int8 file."""
    space, genome = NETWORKS[name]
    data = str(published_path("images/cifar10_train_12000.zip"))
    genome = genome or ",".join("0" * len(registry.create("spaces", space).genes))
    store = ["--store", str(given.folder / "trainings.db")]
    words = ["--space", space, "--arch", genome, "--data", data, "--epochs", str(given.epochs), "--name", name]
    command("train", *words, "--threads", "1", *store)
    out = ["--format", "onnx", "--int8", "--force", "--json", "-o", str(given.folder / name)]
    files: dict[str, dict] = json.loads(command("export", "--weights", name, "--data", data, *out, *store))["files"]
    return {"float32": files["onnx"], "int8": files["int8"]}


def profiled(
    name: str, precision: str, files: Sequence[DeployedFile], given: argparse.Namespace
) -> tuple[LatencyTable, np.ndarray]:
    """Return the table of a space, which is profiled if there is none, and the latencies of files before and after."""
    path = given.folder / f"{name}-{given.runtime}-{precision}.json"
    timed = path.with_suffix(".files.json")
    if not path.exists() or not timed.exists():
        before = latencies(files, given.runtime)
        words = ["--space", NETWORKS[name][0], "--name", path.stem, "--runtime", given.runtime, "-o", str(path)]
        noise = ["--accept-noise"] if given.accept_noise else []
        command(
            "device", "profile", *words, "--precision", precision, "--seconds", str(given.seconds), "--force", *noise
        )
        timed.write_text(json.dumps([*before, *latencies(files, given.runtime)]))
    return LatencyTable.load(str(path)), np.array(json.loads(timed.read_text()))


def latencies(files: Sequence[DeployedFile], runtime: str) -> list[list[float]]:
    """Return the latency of each file in each process in ms, for one image on one thread, `PROCESSES` rows."""
    with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        return pool.starmap(in_turn, [(files, runtime)] * PROCESSES, chunksize=1)


def in_turn(files: Sequence[DeployedFile], runtime: str) -> list[float]:
    """Return the median latency of each file in ms; rounds of the files alternate."""
    calls = [load_runtime(runtime).call(file, "cpu", 1) for file in files]
    rounds = [[time_in_turn([call], 1, SECONDS)[0] for call in calls] for _ in range(ROUNDS)]
    return [median(column) for column in zip(*rounds, strict=True)]


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=NETWORKS, default="nats")
    parser.add_argument("--runtime", choices=["onnxruntime", "openvino"], default="onnxruntime")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=0.5, help="time for each block [default: 0.5]")
    parser.add_argument("--folder", type=Path, default=Path("int8-figures"), help="folder of all files")
    parser.add_argument("--accept-noise", action="store_true", help="profile a machine that is not quiet all the same")
    given = parser.parse_args()
    given.folder.mkdir(exist_ok=True)
    facts, name = exported(given.network, given), given.network
    space, genome = NETWORKS[name]
    made = registry.create("spaces", space)
    network = made.network(tuple(map(int, genome.split(","))) if genome else (0,) * len(made.genes))
    found = facts["int8"]
    paths = [Path(facts[precision]["path"]) for precision in PRECISIONS]
    files = [DeployedFile(path, made.input.shape) for path in paths]
    measured = []
    for place, (precision, path) in enumerate(zip(PRECISIONS, paths, strict=True)):
        known, rows = profiled(name, precision, files, given)
        measured.append(rows)
        low, ms, high = map(float, np.quantile(rows[:, place], QUARTILES))
        right, total = found[precision]["right"], found[precision]["total"]
        error = sqrt(right * (total - right) / total**3)
        predicted, held_out = known.latency(network), known.validated(space)
        print(
            f"{precision}: {100 * right / total:.1f}% ± {100 * error:.1f} of {total:,} validation images,"
            f" {path.stat().st_size / 1000:.1f} kB; {ms:.4f} ms (quartiles {low:.4f} and {high:.4f}), predicted"
            f" {predicted:.4f} ms ({100 * (predicted / ms - 1):+.1f}%); table: {len(known.blocks)} blocks, error on"
            f" {held_out.number} whole networks {held_out.mape:.1f}%, bias {held_out.bias:+.1f}%, Spearman"
            f" {held_out.spearman}",
            flush=True,
        )
    every = np.concatenate(measured)
    low, ratio, high = np.quantile(every[:, 0] / every[:, 1], QUARTILES)
    print(f"{given.runtime}: int8 is {ratio:.2f} times as fast as float32 (quartiles {low:.2f} and {high:.2f})")


if __name__ == "__main__":
    main()

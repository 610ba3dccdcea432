"""Cost of returning large buffers to the system, for torch on a CPU: python perf/memory_kept.py [--space SPEC].

The script runs random networks, and the blocks of the space with the most activations, in two processes that take
turns. One process has the default settings of the C library, and the other keeps its memory. For each process the
script prints the median over visits, and the interquartile range over the median.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from nasctl import registry
from nasctl.api import Network
from nasctl.hardware.distinct_blocks import distinct_blocks, distinct_genomes
from nasctl.hardware.profiling.timed_network import instantiate
from nasctl.hardware.profiling.timing import keep_memory

RUNS = 5  # timed runs per visit
SEED = 3  # of the random networks


def begin(kept: bool) -> None:
    """Initialise a process."""
    torch.set_num_threads(1)
    if kept and not keep_memory():
        raise SystemExit("Cannot keep memory: the C library of this machine is not glibc.")


@cache
def subjects(what: str, spec: str, number: int) -> list[Network]:
    """Return random networks of the space, or its single blocks with the most activations."""
    space = registry.create("spaces", spec)
    if what == "networks":
        return [space.network(genome) for genome in distinct_genomes(space, number, SEED)]
    alone = [span.alone() for span in distinct_blocks(space).values()]
    return sorted(alone, key=lambda block: -block.memory)[:number]


@cache
def made(what: str, spec: str, number: int, place: int) -> tuple[nn.Module, list[Tensor]]:
    """Return a module and its inputs; the cache keeps them for the life of the process."""
    return instantiate(subjects(what, spec, number)[place], 1, seed=0)


def visit(what: str, spec: str, number: int, place: int) -> float:
    """Return the median of RUNS runs in ms, after one warm-up run."""
    module, inputs = made(what, spec, number, place)
    times = []
    with torch.inference_mode():
        for _ in range(RUNS + 1):
            start = time.perf_counter()
            module(*inputs)
            times.append(1e3 * (time.perf_counter() - start))
    return float(np.median(times[1:]))


def main() -> None:
    """Measure in both processes and print the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", default="mbconv")
    parser.add_argument("--number", default=20, type=int)
    parser.add_argument("--visits", default=8, type=int)
    args = parser.parse_args()
    print(f"{args.space}, {args.visits} visits of {RUNS} runs, torch {torch.__version__}")
    spawn = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(1, spawn, begin, (False,)) as default,
        ProcessPoolExecutor(1, spawn, begin, (True,)) as kept,
    ):
        for what in ("networks", "blocks"):
            asked = [(what, args.space, args.number, place) for place in range(args.number)]
            found = [
                [[pool.submit(visit, *one).result() for pool in (default, kept)] for one in asked]
                for _ in range(args.visits)
            ]
            show(what, np.array(found))


def show(what: str, times: np.ndarray) -> None:
    """Print a summary of the times of all visits in ms, (visits, N, 2)."""
    middle = np.median(times, axis=0)
    spread = np.subtract(*np.percentile(times, [75, 25], axis=0)) / middle
    for name, column in (("default", 0), ("memory kept", 1)):
        ms, noise = np.median(middle[:, column]), np.median(spread[:, column])
        print(f"{len(middle)} {what}, {name:11} {ms:6.2f} ms median, interquartile range of visits {noise:.1%}")
    ratio = middle[:, 0] / middle[:, 1]
    print(f"default / memory kept: median {np.median(ratio):.2f}, {ratio.min():.2f} to {ratio.max():.2f}")


if __name__ == "__main__":
    main()

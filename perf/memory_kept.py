"""What torch loses on a CPU where the C library gives large buffers back: python perf/memory_kept.py [--space SPEC].

Random networks, and the blocks of the space that hold the most activations, run in two processes that take turns, one
as it is, one that keeps its memory. Each: the median over visits, and their interquartile range over the median.
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
from nasctl.hardware.profiling.runtimes import drawn
from nasctl.hardware.profiling.timing import keep_memory

RUNS = 5  # in a visit
SEED = 3


def begin(kept: bool) -> None:
    """Set a process up."""
    torch.set_num_threads(1)
    if kept and not keep_memory():
        raise SystemExit("the C library here is not glibc")


@cache
def chosen(what: str, spec: str, number: int) -> list[Network]:
    """Networks, or single blocks."""
    space = registry.create("spaces", spec)
    if what == "networks":
        return [space.network(genome) for genome in distinct_genomes(space, number, SEED)]
    alone = [span.alone() for span in distinct_blocks(space).values()]
    return sorted(alone, key=lambda block: -block.memory)[:number]


@cache
def made(what: str, spec: str, number: int, place: int) -> tuple[nn.Module, list[Tensor]]:
    """The module, made once in a process."""
    return drawn(chosen(what, spec, number)[place], 1, seed=0)


def visit(what: str, spec: str, number: int, place: int) -> float:
    """Median ms of some runs, after one that warms up."""
    module, inputs = made(what, spec, number, place)
    times = []
    with torch.inference_mode():
        for _ in range(RUNS + 1):
            start = time.perf_counter()
            module(*inputs)
            times.append(1e3 * (time.perf_counter() - start))
    return float(np.median(times[1:]))


def main() -> None:
    """Measure and print."""
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
    """Print what visits took, (visits, N, 2), in ms."""
    middle = np.median(times, axis=0)
    spread = np.subtract(*np.percentile(times, [75, 25], axis=0)) / middle
    for name, column in (("as it is", 0), ("memory kept", 1)):
        ms, noise = np.median(middle[:, column]), np.median(spread[:, column])
        print(f"{len(middle)} {what}, {name:11} {ms:6.2f} ms in the median, range of one's visits {noise:.1%}")
    ratio = middle[:, 0] / middle[:, 1]
    print(f"as it is over memory kept: {np.median(ratio):.2f} in the median, {ratio.min():.2f} to {ratio.max():.2f}")


if __name__ == "__main__":
    main()

"""What torch loses on a CPU where the C library gives large buffers back: python perf/memory_kept.py [--space SPEC].

Random networks run in two processes that take turns, one as it is, one that keeps its memory. Per network: the median
over visits of each process, and their interquartile range over the median.
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
from nasctl.hardware.blocks import distinct_genomes
from nasctl.hardware.runtimes import drawn
from nasctl.hardware.timing import keep_memory

RUNS = 5  # in a visit
SEED = 3


def begin(kept: bool) -> None:
    """Set a process up."""
    torch.set_num_threads(1)
    if kept and not keep_memory():
        raise SystemExit("the C library here is not glibc")


@cache
def made(spec: str, number: int, place: int) -> tuple[nn.Module, list[Tensor]]:
    """The module, made once in a process."""
    space = registry.create("spaces", spec)
    return drawn(space.network(distinct_genomes(space, number, SEED)[place]), 1, seed=0)


def visit(spec: str, number: int, place: int) -> float:
    """Median ms of some runs of a network, after one that warms up."""
    module, inputs = made(spec, number, place)
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
    parser.add_argument("--networks", default=20, type=int)
    parser.add_argument("--visits", default=8, type=int)
    args = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(1, spawn, begin, (False,)) as default,
        ProcessPoolExecutor(1, spawn, begin, (True,)) as kept,
    ):
        times = np.array(
            [
                [
                    [pool.submit(visit, args.space, args.networks, place).result() for pool in (default, kept)]
                    for place in range(args.networks)
                ]
                for _ in range(args.visits)
            ]
        )  # (visits, networks, 2)
    middle = np.median(times, axis=0)
    spread = np.subtract(*np.percentile(times, [75, 25], axis=0)) / middle
    ratio = middle[:, 0] / middle[:, 1]
    print(f"{args.networks} networks of {args.space}, {args.visits} visits of {RUNS} runs, torch {torch.__version__}")
    for name, column in (("as it is", 0), ("memory kept", 1)):
        ms, noise = middle[:, column], spread[:, column]
        print(f"{name:12} {np.median(ms):6.2f} ms in the median, range of one network's visits {np.median(noise):.1%}")
    print(f"as it is over memory kept: {np.median(ratio):.2f} in the median, {ratio.min():.2f} to {ratio.max():.2f}")


if __name__ == "__main__":
    main()

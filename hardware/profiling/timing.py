"""Timing of calls that run in turn, as the blocks of a network do, on a CPU or a CUDA device."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import numpy as np
import torch
from torch.utils.benchmark import Timer

from nasctl.hardware.runtimes import NetworkCall

MIN_TURNS = 5  # turns that a median needs
WARM_UP_TURNS = 2  # first turns, which are not counted
M_TRIM_THRESHOLD = -1  # parameter of mallopt, from glibc's malloc.h
M_MMAP_MAX = -4  # parameter of mallopt, from glibc's malloc.h
MEMORY = "kept by the process between calls (glibc: M_MMAP_MAX 0, M_TRIM_THRESHOLD at its largest)"


def time_in_turn(calls: Sequence[NetworkCall], threads: int, seconds: float, cuda: bool = False) -> list[float]:
    """Return the median time of each call in ms, (N,), over turns in which all calls run one after another.

    A block that is timed repeatedly by itself finds its weights and input in the nearest cache, which never happens in
    a network. In turn with other blocks, it takes as long as it does there.

    Args:
        calls: The calls to time, (N,).
        threads: Threads of torch.
        seconds: Time for all turns together; at least `MIN_TURNS` turns are made, even if they take longer.
        cuda: Whether calls only launch work on a CUDA device; its own clock is read then.
    """
    keep_memory()
    turns: list[list[float]] = []
    timer = Timer("turn()", globals={"turn": lambda: turns.append(_laps(calls, cuda))}, num_threads=threads)
    with torch.inference_mode():
        once = timer.timeit(MIN_TURNS).median  # The timer makes `WARM_UP_TURNS` turns first.
        more = round(seconds / once) - MIN_TURNS
        if more > 0:
            timer.timeit(more)
    medians: list[float] = np.median(turns[WARM_UP_TURNS:], axis=0).tolist()
    return medians


def _laps(calls: Sequence[NetworkCall], cuda: bool) -> list[float]:
    """Make each call once, and return the time of each in ms."""
    if cuda:
        marks = [torch.cuda.Event(enable_timing=True) for _ in range(len(calls) + 1)]  # type: ignore[no-untyped-call]
        marks[0].record()
        for call, mark in zip(calls, marks[1:], strict=True):
            call()
            mark.record()
        torch.cuda.synchronize()
        return [start.elapsed_time(end) for start, end in pairwise(marks)]
    stamps = [time.perf_counter()]
    for call in calls:
        call()
        stamps.append(time.perf_counter())
    return [1e3 * (end - start) for start, end in pairwise(stamps)]


@cache
def keep_memory() -> bool:
    """Make the C library keep freed memory for the rest of the process; return False if it is not glibc.

    By default, glibc returns large buffers to the system and pays for each of their pages when it allocates them again.
    This takes up to half of the time of a large block, and its share varies (`perf/memory_kept.py`).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, 2**31 - 1))

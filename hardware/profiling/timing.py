"""Time what runs one after another, as the blocks of a network do, on a CPU or a CUDA device."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import numpy as np
import torch
from torch.utils.benchmark import Timer

from nasctl.hardware.profiling.runtimes import NetworkCall

MIN_TURNS = 5  # turns that a median is of
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h
MEMORY = "kept by the process between calls (glibc: M_MMAP_MAX 0, M_TRIM_THRESHOLD at its largest)"


def time_in_turn(calls: Sequence[NetworkCall], threads: int, seconds: float, cuda: bool = False) -> list[float]:
    """Median ms of each call, where each is made once in a turn, after the one before it.

    A block that is timed again and again by itself finds its weights and its input in the nearest cache, where a
    network never has them; in turn with others it takes what it takes there.

    Args:
        calls: What to time, (N,).
        threads: That torch may use.
        seconds: For all turns together; `MIN_TURNS` turns are made if that takes longer.
        cuda: Whether calls only hand work to a CUDA device, whose own clock is read then.
    """
    keep_memory()
    turns: list[list[float]] = []
    timer = Timer("turn()", globals={"turn": lambda: turns.append(_laps(calls, cuda))}, num_threads=threads)
    with torch.inference_mode():
        once = timer.timeit(MIN_TURNS).median  # after two turns that warm up
        more = round(seconds / once) - MIN_TURNS
        if more > 0:
            timer.timeit(more)
    found: list[float] = np.median(turns[2:], axis=0).tolist()
    return found


def _laps(calls: Sequence[NetworkCall], cuda: bool) -> list[float]:
    """Make each call once; what each took, in ms."""
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
    """Make the C library keep freed memory for the next call, for good; False where it is not glibc.

    By default glibc gives large buffers back to the system and pays for every page when it fetches them again: up to
    half of a large block's time, and another share each time (`perf/memory_kept.py`).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, 2**31 - 1))

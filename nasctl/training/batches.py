"""Batches of examples in an order that depends on the seed alone, decoded by worker processes."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from multiprocessing import connection, current_process, get_context, parent_process
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from nasctl.data import Part
from nasctl.errors import NasctlError
from nasctl.training.labelled import TrainingData
from nasctl.training.recipe import epoch_steps
from nasctl.training.streams import generator

MOST_WORKERS = 4  # default number of workers on machines of more cores

PREFETCHED = 2  # batches that each worker prepares ahead

START = "forkserver" if sys.platform != "win32" else "spawn"  # a forked process would inherit the threads of torch


def usual_workers(data: TrainingData) -> int:
    """Return the default number of worker processes: none for data in memory, else one for each core, at most four."""
    if data.in_memory or current_process().daemon:  # a daemon, such as a worker of a search, may start no process
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_WORKERS)


def steps_per_epoch(data: TrainingData, batch: int) -> int:
    """Return the number of training batches of an epoch. The last partial batch counts only if it is the only one."""
    return epoch_steps(data.size("train"), batch)


def train_batches(
    data: TrainingData,
    batch: int,
    seed: int,
    first_step: int,
    workers: int | None,
    rank: int = 0,
    world: int = 1,
    halves: bool = False,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches of training examples from a step on, without end.

    The batch of a step depends on the data, its size, the seed and the step only: not on the first step, the number of
    workers, or the number of ranks. Each epoch has all examples in a new order, but for those that fill no batch.

    Args:
        data: The data.
        batch: Examples of a batch, over all ranks.
        seed: The seed of the order, not negative.
        first_step: The step of the first batch, from 0.
        workers: Number of processes that decode examples; 0 for none; None for `usual_workers`.
        rank: The number of this process among those that train together. It gets a contiguous share of each batch.
        world: The number of processes that train together.
        halves: Whether the examples are in two halves for good, of which a batch has one and the other in turn: the
            rows 0, 2, ... of each rank are of the first half, the rows 1, 3, ... of the second.

    Yields:
        Examples, (N, C, H, W) uint8 or (N, T) int64, and their labels, int64.

    Raises:
        NasctlError: A file has vanished or cannot be decoded, a worker died, or a batch is too small for all ranks.
    """
    if min(batch, data.size("train")) < world:
        raise NasctlError(
            f"Cannot share a batch of {min(batch, data.size('train'))} examples among {world} processes. Give a larger"
            " batch."
        )
    if halves and (whole := min(batch, data.size("train") // 2 * 2)) % (2 * world):
        raise NasctlError(
            f"Cannot split batches of {whole} examples into two halves for {world} process{'es' * (world > 1)}. Give a"
            f" batch that is a multiple of {2 * world} in the recipe."
        )
    order = _order(data.size("train"), batch, seed, first_step, halves)
    indices = (np.array_split(one, world)[rank] for one in order)
    return _loaded(data, "train", indices, workers)


def part_batches(
    data: TrainingData, part: Part, batch: int, workers: int | None, rank: int = 0, world: int = 1
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the examples of a part once, in order. The last batch may be smaller.

    Args:
        data: The data.
        part: The part.
        batch: Examples of a batch of this rank.
        workers: Number of processes that decode examples; 0 for none; None for `usual_workers`.
        rank: The number of this process. It gets a contiguous share of the part, which may be empty.
        world: The number of processes.

    Yields:
        As `train_batches`.

    Raises:
        NasctlError: A file has vanished or cannot be decoded, or a worker died.
    """
    share = np.array_split(np.arange(data.size(part)), world)[rank]
    return _loaded(data, part, (share[k : k + batch] for k in range(0, len(share), batch)), workers)


def _order(size: int, batch: int, seed: int, first_step: int, halves: bool) -> Iterator[np.ndarray]:
    """Yield the indices of the examples of each batch from a step on, without end."""
    steps = max(1, size // batch)
    epoch, step = divmod(first_step, steps)
    fixed = generator(seed, "halves").permutation(size)[: size // 2 * 2].reshape(2, -1) if halves else np.arange(0)
    while True:
        rng = generator(seed, "order", part=epoch)
        order = rng.permuted(fixed, axis=1).T.ravel() if halves else rng.permutation(size)
        for place in range(step, steps):
            yield order[place * batch : (place + 1) * batch]
        epoch, step = epoch + 1, 0


def _loaded(
    data: TrainingData, part: Part, indices: Iterable[np.ndarray], workers: int | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield examples with their labels for each array of indices."""
    number = usual_workers(data) if workers is None else workers
    found = _decoded(data, part, indices, number) if number else (data.examples(part, one) for one in indices)
    for examples, labels in found:
        yield torch.from_numpy(examples), torch.from_numpy(labels)


@dataclass(frozen=True)
class _Failure:
    """An error of a worker that a user can mend, which is raised again where its message stays one sentence."""

    message: str


@dataclass(frozen=True)
class _Examples:
    """The examples of a part as a data set of torch."""

    data: TrainingData
    part: Part

    def __getitems__(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray] | _Failure:
        try:
            return self.data.examples(self.part, indices)
        except NasctlError as error:
            return _Failure(str(error))


def _decoded(
    data: TrainingData, part: Part, indices: Iterable[np.ndarray], workers: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield examples that worker processes decode, in the order of the indices."""
    loader: DataLoader[Any] = DataLoader(
        _Examples(data, part),  # type: ignore[arg-type]  # torch asks `__getitems__` alone
        batch_sampler=indices,  # type: ignore[arg-type]  # arrays in place of lists
        num_workers=workers,
        collate_fn=_unchanged,
        multiprocessing_context=_context(),
        worker_init_fn=_begin,
        prefetch_factor=PREFETCHED,
        generator=torch.Generator(),  # or else torch draws a number from its global generator
    )
    try:
        for found in loader:
            if isinstance(found, _Failure):
                raise NasctlError(found.message)
            yield found
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise NasctlError(
            "Cannot read on: a process that decodes examples has died, perhaps for lack of memory. Give fewer processes"
            " with --data-workers."
        ) from None


def _context() -> Any:
    """Return the way to start workers: from a server process that has imported torch and this module already."""
    context = get_context(START)
    if START == "forkserver":
        context.set_forkserver_preload([__name__])
    return context


def _unchanged(found: Any) -> Any:
    """Return examples as they are: arrays go through a pipe, because the shared memory of containers is often small."""
    return found


def _begin(worker: int) -> None:
    """Leave Ctrl-C to the parent, which ends its workers after its last checkpoint, and end with the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    """End this process when the process that reads its batches has ended, by whatever signal.

    torch watches the process that forked this one. That is the fork server, which waits for its last child.
    """
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


__all__ = ["part_batches", "steps_per_epoch", "train_batches", "usual_workers"]

"""What a worker does, whatever process it is in, and what a pool has to know of workers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Protocol

from nasctl.errors import NasctlError
from nasctl.evaluation.measure import measure
from nasctl.evaluation.task import Task
from nasctl.problem.space import Genome
from nasctl.store.measurements import Measurement
from nasctl.system.machine_lock import shared_machine
from nasctl.system.memory_limit import limited_memory

NO_ROOM = re.compile(r"^MemoryError|allocate memory|bad_alloc|out of memory", re.IGNORECASE)  # as libraries put it
OF_GPU = re.compile("CUDA|HIP")  # what lacks memory, as torch puts it

Message = Task | tuple[Genome, Mapping[str, str]]  # what genomes are measured for; a genome, and what to measure of it
Answer = dict[str, Measurement] | Exception | None  # of a genome; an error that ends the search; ready for genomes


class WorkerHandle(Protocol):
    """A process that measures, seen from the one that searches."""

    def send(self, message: Message) -> None:
        """Let it work on something; it answers each message."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...


class Backend(Protocol):
    """Where workers are."""

    places: Sequence[str]  # of each worker: the GPU that it is to have, "" for none

    def hire(self, place: str) -> WorkerHandle:
        """A new worker at a place."""
        ...

    def wait(
        self, workers: Sequence[WorkerHandle], seconds: float | None
    ) -> list[tuple[WorkerHandle, Answer | EOFError]]:
        """What workers have answered, EOFError of one that is dead; empty if nobody did in so many seconds."""
        ...

    def close(self) -> None:
        """Give back what is held for all workers together."""
        ...


class Worker:
    """Answers messages.

    Args:
        memory: Bytes that a candidate may take beside what the process holds already; None for no limit.
    """

    def __init__(self, memory: int | None) -> None:
        self._memory = memory
        self._quiet: ExitStack | None = None  # keeps profiles off its machine, which may not be the one that searches

    def answer(self, message: Message) -> Answer:
        """Answer one; errors are such as can be sent to another process."""
        try:
            if isinstance(message, Task):
                self._prepare(message)
                return None
            return self._measured(*message)
        except NasctlError as error:
            return NasctlError(str(error))
        except Exception as error:
            return RuntimeError(f"{type(error).__name__}: {error}")

    def _prepare(self, task: Task) -> None:
        """Have everything at hand, so that no candidate pays for it."""
        from nasctl.candidates.determinism import usable_device

        if self._quiet is None:
            quiet = ExitStack()
            quiet.enter_context(shared_machine())
            self._quiet = quiet
        usable_device(task.setting.device)
        self._task = task

    def _measured(self, genome: Genome, labels: Mapping[str, str]) -> dict[str, Measurement]:
        try:
            with limited_memory(self._memory):
                found = measure(self._task, genome, labels)
        except MemoryError:
            found = {label: Measurement(None, "MemoryError", 0.0) for label in labels.values()}
        if self._task.setting.device != "cpu":
            import torch

            torch.cuda.empty_cache()  # others may have the same GPU
        return {label: self._said(one) for label, one in found.items()}

    def _said(self, one: Measurement) -> Measurement:
        """With the reason in plain words where the limit is one."""
        short = one.error is not None and NO_ROOM.search(one.error) and not OF_GPU.search(one.error)
        if self._memory is None or not short:
            return one
        error = f"MemoryError: more than {self._memory / 1e9:g} GB, which is the limit (--candidate-memory)"
        return one._replace(error=error)

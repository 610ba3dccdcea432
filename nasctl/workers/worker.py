"""The worker, which measures in whatever process it is in, and the protocols of handles and backends."""

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

# Errors that say that memory was short, in the words of Python, torch and C++ libraries.
OUT_OF_MEMORY = re.compile(r"^MemoryError|allocate memory|bad_alloc|out of memory", re.IGNORECASE)

# Errors of torch about the memory of a GPU rather than of the machine.
GPU_ERROR = re.compile("CUDA|HIP")

# A task, which later genomes are measured for; or a genome with the labels to measure, by metric.
Message = Task | tuple[Genome, Mapping[str, str]]

# Measurements of a genome by label; an error that ends the search; or None once a task is prepared.
Answer = dict[str, Measurement] | Exception | None


class WorkerHandle(Protocol):
    """A worker as the searching process sees it."""

    def send(self, message: Message) -> None:
        """Send a message. The worker answers every message."""
        ...

    def stop(self) -> bool:
        """Ask a worker that trains to write a checkpoint and to end.

        Returns:
            Whether the worker was asked. It then answers or dies soon.
        """
        ...

    def kill(self) -> None:
        """End the worker at once."""
        ...


class Backend(Protocol):
    """A place that starts workers and collects their answers."""

    gpus: Sequence[str]  # GPU of each worker, as CUDA_VISIBLE_DEVICES names it; "" for none

    def start(self, gpu: str) -> WorkerHandle:
        """Start a worker that sees one GPU; "" for none."""
        ...

    def wait(
        self, workers: Sequence[WorkerHandle], seconds: float | None
    ) -> list[tuple[WorkerHandle, Answer | EOFError]]:
        """Wait for answers.

        Args:
            workers: Workers that have been sent a message.
            seconds: Time to wait in seconds; None for no limit.

        Returns:
            Workers with their answers. A dead worker has EOFError. Empty if the time is over.
        """
        ...

    def close(self) -> None:
        """Release the resources that all workers share."""
        ...


class Worker:
    """Measures genomes and answers with what can be sent to another process.

    Args:
        memory: Memory limit of a candidate in bytes, beside the memory that the process has taken; None for no limit.
    """

    def __init__(self, memory: int | None) -> None:
        self._memory = memory
        # Keeps latency profiles off the worker's machine, which may be another one than the searching process has.
        self._machine: ExitStack | None = None
        self.trains = False  # whether the candidates of the present task are trained

    def answer(self, message: Message) -> Answer:
        """Return the answer to a message. Errors lose their class, which the receiver may not be able to import."""
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
        """Lock the machine and import torch, so that no candidate's time includes it."""
        from nasctl.candidates.determinism import usable_device

        if self._machine is None:
            machine = ExitStack()
            machine.enter_context(shared_machine())
            self._machine = machine
        usable_device(task.setting.device)
        self._task, self.trains = task, task.trains

    def _measured(self, genome: Genome, labels: Mapping[str, str]) -> dict[str, Measurement]:
        """Return the measurements of a genome by label, within the memory limit."""
        try:
            with limited_memory(self._memory):
                found = measure(self._task, genome, labels)
        except MemoryError:
            found = {label: Measurement(None, "MemoryError", 0.0) for label in labels.values()}
        if self._task.setting.device != "cpu":
            import torch

            torch.cuda.empty_cache()  # other workers may share the GPU
        return {label: self._explained(one) for label, one in found.items()}

    def _explained(self, one: Measurement) -> Measurement:
        """Return a measurement whose error names the memory limit, if that is its cause."""
        short = one.error is not None and OUT_OF_MEMORY.search(one.error) and not GPU_ERROR.search(one.error)
        if self._memory is None or not short:
            return one
        error = f"MemoryError: more than {self._memory / 1e9:g} GB, which is the limit (--candidate-memory)"
        return one._replace(error=error)

"""Where modules are measured: in this process, in worker processes, or on a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from nasctl.candidates.objective import closed_form
from nasctl.evaluation.executor import Executor
from nasctl.evaluation.measure import LocalExecutor
from nasctl.evaluation.task import Task
from nasctl.system.machine_lock import shared_machine
from nasctl.workers.pool import Pool
from nasctl.workers.processes import Processes
from nasctl.workers.worker import Backend


@dataclass(frozen=True)
class WorkerOptions:
    """Who measures, as a person asks for it; no value depends on it.

    Args:
        workers: How many; None for one, for one on every GPU, or for as many as a cluster has room for.
        gpus: Those to spread them over, as CUDA_VISIBLE_DEVICES names them.
        cluster: "ray", or "ray:ADDRESS"; "" for this machine.
        seconds: That a candidate may take; None for no limit.
        memory: Bytes that a candidate may take beside what a worker itself does; None for no limit.
    """

    workers: int | None = None
    gpus: tuple[str, ...] = ()
    cluster: str = ""
    seconds: float | None = None
    memory: int | None = None

    @property
    def one(self) -> bool:
        """Whether this process does: what hangs in it, or takes all memory, could not be ended."""
        return self in (ONE, WorkerOptions(1))


ONE = WorkerOptions()


@contextmanager
def open_executor(crew: WorkerOptions, task: Task) -> Iterator[Executor]:
    """Where the modules of a task are measured, for as long as that takes.

    Raises:
        NasctlError: The latency of this machine is being measured, or there is no such cluster.
    """
    if all(map(closed_form, task.metrics.values())):
        yield LocalExecutor(task)
        return
    with shared_machine():
        if crew.one:
            yield LocalExecutor(task)
            return
        pool = Pool(task, _site(crew, task), crew.seconds, wary=crew.memory is not None)
        try:
            yield pool
        finally:
            pool.close()


def _site(crew: WorkerOptions, task: Task) -> Backend:
    if crew.cluster:
        from nasctl.workers.ray import Ray

        return Ray(crew.cluster.partition(":")[2], crew.workers, task.setting, crew.memory)
    number = crew.workers or max(1, len(crew.gpus))
    return Processes([crew.gpus[k % len(crew.gpus)] if crew.gpus else "" for k in range(number)], crew.memory)

"""Executors that measure modules: this process, worker processes of this machine, or actors of a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from nasctl.candidates.objective import closed_form
from nasctl.evaluation.executor import Executor
from nasctl.evaluation.measure import LocalExecutor
from nasctl.evaluation.task import Task
from nasctl.system.argument_types import check_arguments, check_least
from nasctl.system.machine_lock import shared_machine
from nasctl.workers.pool import Pool
from nasctl.workers.processes import Processes
from nasctl.workers.worker import Backend

__all__ = ["WorkerOptions", "open_executor"]


@dataclass(frozen=True)
class WorkerOptions:
    """The workers that a person asked for. No measured value depends on them.

    Args:
        workers: Number of workers. None means one, one for each GPU, or as many as the cluster has room for.
        gpus: GPUs to spread the workers over, as CUDA_VISIBLE_DEVICES names them.
        cluster: "ray" or "ray:ADDRESS"; "" for this machine.
        seconds: Time limit of a candidate in seconds; None for no limit.
        memory: Memory limit of a candidate in bytes, beside the memory of the worker itself; None for no limit.
    """

    workers: int | None = None
    gpus: tuple[str, ...] = ()
    cluster: str = ""
    seconds: float | None = None
    memory: int | None = None

    def __post_init__(self) -> None:
        check_arguments("start workers", WorkerOptions, vars(self))
        check_least("start workers", 1, workers=self.workers)

    @property
    def in_process(self) -> bool:
        """Whether this process measures. It cannot enforce a limit, because it cannot end itself and go on."""
        return self in (WorkerOptions(), WorkerOptions(1))


@contextmanager
def open_executor(options: WorkerOptions, task: Task) -> Iterator[Executor]:
    """Provide the executor that measures the modules of a task, and close it at the end.

    Raises:
        NasctlError: The latency of this machine is being measured, or the cluster cannot be used.
    """
    if all(map(closed_form, task.metrics.values())):
        yield LocalExecutor(task)
        return
    with shared_machine():
        if options.in_process:
            yield LocalExecutor(task)
            return
        pool = Pool(task, _backend(options, task), options.seconds, limited=options.memory is not None)
        try:
            yield pool
        finally:
            pool.close()


def _backend(options: WorkerOptions, task: Task) -> Backend:
    """Return the backend that starts the workers."""
    if options.cluster:
        from nasctl.workers.ray import Ray

        address = options.cluster.partition(":")[2]
        return Ray(address, options.workers, task.setting, options.memory)
    number, gpus = options.workers or max(1, len(options.gpus)), options.gpus
    return Processes([gpus[k % len(gpus)] if gpus else "" for k in range(number)], options.memory)

"""Workers that are processes of this machine, spawned and connected by pipes."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from multiprocessing import connection, get_context, parent_process, resource_tracker

from nasctl.errors import NasctlError
from nasctl.system.signals import stoppable
from nasctl.workers.worker import Answer, Message, Worker, WorkerHandle

CONTEXT = get_context("spawn")  # a forked process would inherit the threads of torch in an undefined state


class Processes:
    """The backend of worker processes on this machine.

    Args:
        gpus: GPU of each worker, as CUDA_VISIBLE_DEVICES names it; "" for none.
        memory: Memory limit of a candidate in bytes; None for no limit.
    """

    def __init__(self, gpus: Sequence[str], memory: int | None) -> None:
        self.gpus: Sequence[str] = gpus
        self._memory = memory

    def start(self, gpu: str) -> WorkerHandle:
        """Start a process; see `Backend`.

        Raises:
            NasctlError: The system cannot start another process.
        """
        try:
            return _Process(gpu, self._memory)
        except OSError as error:
            raise NasctlError(f"a worker cannot be started ({error.strerror}); give fewer --workers") from error

    def wait(
        self, workers: Sequence[WorkerHandle], seconds: float | None
    ) -> list[tuple[WorkerHandle, Answer | EOFError]]:
        """Wait for answers; see `Backend`."""
        processes = {one.pipe: one for one in workers if isinstance(one, _Process)}
        ready = connection.wait(list(processes), seconds)
        return [(processes[pipe], _received(pipe)) for pipe in ready]  # type: ignore[index, arg-type]

    def close(self) -> None:
        """Do nothing: processes share no resources."""


class _Process:
    """The handle of a worker process."""

    def __init__(self, gpu: str, memory: int | None) -> None:
        self.pipe, other_end = CONTEXT.Pipe()
        self._process = CONTEXT.Process(target=_run_worker, args=(other_end, gpu, memory), daemon=True)
        # A terminal sends Ctrl-C to all its processes, but this one decides what becomes of its workers. They start
        # with the signal blocked. The resource tracker unblocks the signal when it starts, so it has to start before.
        resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        other_end.close()

    def send(self, message: Message) -> None:
        with suppress(OSError):  # the worker is dead, which the next wait reports
            self.pipe.send(message)

    def stop(self) -> bool:
        with suppress(ValueError):  # the process was killed before
            self._process.terminate()
        return True

    def kill(self) -> None:
        with suppress(ValueError):  # the process was killed before
            self._process.kill()
            self._process.join()
            self._process.close()
        self.pipe.close()


def _received(pipe: connection.Connection) -> Answer | EOFError:
    """Return the answer in a pipe, or EOFError if its worker is dead."""
    try:
        answer: Answer = pipe.recv()
    except (EOFError, OSError):
        return EOFError()
    return answer


def _run_worker(pipe: connection.Connection, gpu: str, memory: int | None) -> None:
    """Answer messages until the pipe is closed. This is the main function of a worker process.

    SIGTERM ends a training after its checkpoint, and any other work at once.
    """
    os.dup2(2, 1)  # standard output belongs to the searching process
    if gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    worker = Worker(memory)
    while True:
        try:
            message = pipe.recv()
        except (EOFError, OSError):
            return
        except Exception as error:  # as a rule, a module that cannot be imported here
            said = f"a worker cannot make what is to be measured ({type(error).__name__}: {error})"
            pipe.send(NasctlError(f"{said}; define it in a module that can be imported, or leave --workers out"))
            continue
        try:
            with stoppable(ends_at_second=False) if worker.trains else nullcontext():
                pipe.send(worker.answer(message))
        except KeyboardInterrupt:
            return


def _exit_with_parent() -> None:
    """Exit as soon as the parent process ends, whatever the main thread is doing."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)

"""Training by several processes of this machine, which this process starts and watches."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing import connection, get_context, resource_tracker
from pathlib import Path
from typing import Any

from nasctl.errors import NasctlError
from nasctl.system.signals import SIGNALS, stop_asked, stop_if_asked, uninterrupted
from nasctl.training.distributed import Done, Ended, JointJob, Noted, death, ended, result_of, run_rank
from nasctl.training.events import Event

CONTEXT = get_context("spawn")  # a forked process would inherit the threads of torch in an undefined state

GRACE = 30.0  # seconds that processes have for a checkpoint after another one has ended

EXIT = 5.0  # seconds that a process has to exit after its last message, and to end its own processes

TICK = 0.2  # longest time in seconds before a stop request is passed on


def train_in_processes(
    job: JointJob[Done], gpus: Sequence[str], follow: Callable[[Event], object] = lambda event: None
) -> Done:
    """Carry out a training by processes of this machine, one for each entry of `gpus`.

    If one process ends, all end. Processes end when this one does, however it ends. A stop request to this process
    stops all of them after the same step, and the first one writes a checkpoint.

    Args:
        job: The training.
        gpus: GPU of each process, as CUDA_VISIBLE_DEVICES names it; "" for none.
        follow: Called with each event of the first process.

    Raises:
        NasctlError: As `run_training`; or a process cannot be started, or has died.
        KeyboardInterrupt: A signal asked to stop.
    """
    assert job.training.world == len(gpus)
    job.check()
    # The processes find each other by a file, so no port has to be chosen, and no stranger can connect.
    with tempfile.TemporaryDirectory(prefix="nasctl-", ignore_cleanup_errors=True) as folder, uninterrupted():
        watch = _Watch(job.sharing_cores(len(gpus)), gpus, str(Path(folder) / "ranks"), follow)
        try:
            watch.start()
            watch.wait()
        finally:
            watch.close()
        try:
            found: Done = result_of(watch.endings)
            return found
        except KeyboardInterrupt:
            stop_if_asked()
            raise


class _Watch:
    """The processes of a training, and what this process knows of them.

    Attributes:
        endings: The end of each process that has ended, by its number.
    """

    def __init__(self, job: JointJob[Any], gpus: Sequence[str], file: str, follow: Callable[[Event], object]) -> None:
        self._job, self._gpus, self._file, self._follow = job, gpus, file, follow
        self._ranks: list[_Process] = []
        self.endings: dict[int, Ended] = {}
        self._begun = False  # True once the first process has reported an event
        self._stopping = False
        self._deadline = float("inf")  # value of `time.monotonic()` at which processes are killed

    def start(self) -> None:
        """Start the processes, and send the job once all are starting, because they read it late."""
        try:
            for rank, gpu in enumerate(self._gpus):
                self._ranks.append(_Process(rank, gpu, self._file))
        except OSError as error:
            raise NasctlError(f"Cannot start a process ({error.strerror}). Train by fewer processes.") from error
        for one in self._ranks:
            with suppress(OSError):  # it has died, which its pipe tells
                one.pipe.send(self._job.portable())

    def wait(self) -> None:
        """Wait until all processes have ended."""
        while len(self.endings) < len(self._ranks):
            try:
                pipes = {one.pipe: rank for rank, one in enumerate(self._ranks) if rank not in self.endings}
                for pipe in connection.wait(list(pipes), TICK):
                    self._receive(pipes[pipe])  # type: ignore[index]
                self._end_overdue()
            except KeyboardInterrupt:  # outside the command line, where signals are not kept back
                self._stopping = True
            if (self._stopping or stop_asked()) and not self._told_to_stop:
                self._tell_to_stop()

    def close(self) -> None:
        """Let processes that have sent their end exit, and kill the others."""
        for rank, one in enumerate(self._ranks):
            one.kill(after=EXIT if rank in self.endings else 0.0)

    _told_to_stop = False

    def _tell_to_stop(self) -> None:
        self._told_to_stop = True
        for one in self._ranks:
            with suppress(OSError):
                one.pipe.send("stop")

    def _receive(self, rank: int) -> None:
        """Read a message of a process, or note its death."""
        one = self._ranks[rank]
        try:
            message: Event | Noted | Ended = one.pipe.recv()
        except (EOFError, OSError):
            message = Ended("died", death(one.exit_code()))
        if not isinstance(message, Ended):
            self._begun = True
            self._job.report(message, self._follow)
            return
        self.endings[rank] = message
        if message.kind not in ("done", "stopped") or rank == 0:
            # Before the training has begun, no process has anything to save.
            grace = GRACE if self._begun else 0.0
            self._deadline = min(self._deadline, time.monotonic() + grace)

    def _end_overdue(self) -> None:
        """Kill the processes that have not ended in time after another one, as sums on GPUs wait for ever."""
        if time.monotonic() < self._deadline:
            return
        for rank, one in enumerate(self._ranks):
            if rank not in self.endings and not one.pipe.poll():
                one.kill()
                self.endings[rank] = Ended("lost")


class _Process:
    """The handle of a process.

    Args:
        rank: Number of the process.
        gpu: Its GPU; "" for none.
        file: File by which the processes find each other.
    """

    def __init__(self, rank: int, gpu: str, file: str) -> None:
        self.pipe, other_end = CONTEXT.Pipe()
        # It is no daemon, because it has children of its own, which decode images.
        self._process = CONTEXT.Process(target=_run_process, args=(other_end, rank, gpu, file), daemon=False)
        # A terminal sends Ctrl-C to all its processes, but this one decides what becomes of the others. They start
        # with the signals blocked. The resource tracker unblocks them when it starts, so it has to start before.
        resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        other_end.close()

    def exit_code(self) -> int | None:
        """Return the exit code of a process that ends now."""
        self._process.join(GRACE)
        return self._process.exitcode

    def kill(self, after: float = 0.0) -> None:
        """Kill the process unless it ends within some seconds."""
        with suppress(ValueError):  # the process was killed before
            self._process.join(after)
            self._process.kill()
            self._process.join()
            self._process.close()
        self.pipe.close()


def _run_process(pipe: connection.Connection, rank: int, gpu: str, file: str) -> None:
    """Carry out one part of a training. This is the main function of a process."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    os.dup2(2, 1)  # standard output belongs to the parent
    if rank:
        warnings.simplefilter("ignore")  # the first process gives the same warnings
    if gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    if (loopback := _loopback()) is not None:  # the name of this machine may have no address
        os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback)
    try:
        job: JointJob[Any] = pipe.recv()
    except (EOFError, OSError):
        return
    except Exception as error:  # as a rule, a module that cannot be imported here
        said = f"Cannot send the training to a process ({type(error).__name__}: {error})."
        pipe.send(Ended("refused", f"{said} Define what it needs in a module that can be imported."))
        return
    stop = threading.Event()
    threading.Thread(target=_listen, args=(pipe, stop), daemon=True).start()
    if rank == 0:
        job = job.noting(pipe.send)
    follow: Callable[[Event], object] = (lambda event: None) if rank else pipe.send

    def work() -> object:
        from torch.distributed import FileStore  # type: ignore[attr-defined]  # it is there without declaration

        return run_rank(job, rank, FileStore(file, job.training.world), follow, stop.is_set)

    found = ended(work)
    with suppress(OSError):
        pipe.send(found)


def _listen(pipe: connection.Connection, stop: threading.Event) -> None:
    """Note a stop request of the parent, and exit as soon as the parent ends, whatever the main thread is doing."""
    try:
        while True:
            pipe.recv()
            stop.set()
    except (EOFError, OSError):
        os._exit(1)


def _loopback() -> str | None:
    """Return the network interface of this machine alone, if it has one of the usual names."""
    names = {name for _, name in socket.if_nameindex()}
    return next((name for name in ("lo", "lo0") if name in names), None)


__all__ = ["train_in_processes"]

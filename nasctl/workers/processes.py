"""Workers that are processes of this machine, started anew (spawn) and talked to through pipes."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import connection, get_context, parent_process, resource_tracker

from nasctl.errors import NasctlError
from nasctl.workers.worker import Answer, Message, Worker, WorkerHandle

CONTEXT = get_context("spawn")  # a fork would inherit threads of torch in whatever state they are


class Processes:
    """This machine.

    Args:
        places: Of each worker, the number of the GPU that it is to have, or "".
        memory: Bytes that a candidate may take; None for no limit.
    """

    def __init__(self, places: Sequence[str], memory: int | None) -> None:
        self.places: Sequence[str] = places
        self._memory = memory

    def hire(self, place: str) -> WorkerHandle:
        try:
            return _Process(place, self._memory)
        except OSError as error:
            raise NasctlError(f"a worker cannot be started ({error.strerror}); give fewer --workers") from error

    def wait(
        self, workers: Sequence[WorkerHandle], seconds: float | None
    ) -> list[tuple[WorkerHandle, Answer | EOFError]]:
        talking = {one.pipe: one for one in workers if isinstance(one, _Process)}
        ready = connection.wait(list(talking), seconds)
        return [(talking[pipe], _received(pipe)) for pipe in ready]  # type: ignore[index, arg-type]

    def close(self) -> None:
        pass


class _Process:
    def __init__(self, place: str, memory: int | None) -> None:
        self.pipe, theirs = CONTEXT.Pipe()
        self._process = CONTEXT.Process(target=_work, args=(theirs, place, memory), daemon=True)
        # Ctrl-C reaches every process of a terminal, and what it means to workers is for this one to say: they begin
        # with that signal blocked. The tracker, which unblocks it when it starts, has to be there before.
        resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()

    def send(self, message: Message) -> None:
        with suppress(OSError):  # it is dead, which the pipe will say to whoever waits for an answer
            self.pipe.send(message)

    def kill(self) -> None:
        with suppress(ValueError):  # it was killed before
            self._process.kill()
            self._process.join()
            self._process.close()
        self.pipe.close()


def _received(pipe: connection.Connection) -> Answer | EOFError:
    try:
        answer: Answer = pipe.recv()
    except (EOFError, OSError):
        return EOFError()
    return answer


def _work(pipe: connection.Connection, place: str, memory: int | None) -> None:
    """What runs in the process: answers messages until nobody is there who could send any."""
    os.dup2(2, 1)  # standard output is the data of the process that searches
    if place:
        os.environ["CUDA_VISIBLE_DEVICES"] = place
    threading.Thread(target=_follow, daemon=True).start()
    desk = Worker(memory)
    while True:
        try:
            message = pipe.recv()
        except (EOFError, OSError):
            return
        except Exception as error:  # of an import, as a rule
            said = f"a worker cannot make what is to be measured ({type(error).__name__}: {error})"
            pipe.send(NasctlError(f"{said}; define it in a module that can be imported, or leave --workers out"))
            continue
        pipe.send(desk.answer(message))


def _follow() -> None:
    """End this process with the one that started it, whatever it is doing then."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)

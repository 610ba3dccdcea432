"""Hands genomes to workers, which may hang, run out of memory or die."""

from __future__ import annotations

import pickle
import re
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace

from nasctl.candidates.objective import closed_form
from nasctl.errors import NasctlError
from nasctl.evaluation.task import Task
from nasctl.problem.space import Genome
from nasctl.store.measurements import Measurement
from nasctl.workers.worker import NO_ROOM, Answer, Backend, Message, WorkerHandle

TRIES = 2  # deaths of its worker that a candidate may cost: one may be an accident, two are the candidate's own
STILLBORN = 5  # workers that die before they are ready, and nobody answers meanwhile: more of them are no use
SLICE = 1.0  # seconds to wait at once where candidates have a limit
WORN = re.compile(rf"{NO_ROOM.pattern}|^(ImportError|ModuleNotFoundError)", re.IGNORECASE)  # half an import is left


@dataclass
class _Job:
    genome: Genome
    labels: Mapping[str, str]
    deaths: int = 0
    alone: bool = False  # whether it must not share a GPU

    def failed(self, error: str, seconds: float) -> tuple[Genome, dict[str, Measurement]]:
        """What is recorded of it when it was ended."""
        return self.genome, {label: Measurement(None, error, seconds) for label in self.labels.values()}


@dataclass
class _Seat:
    """A worker at its place; when it dies, another takes the seat."""

    place: str
    worker: WorkerHandle
    ready: bool = False
    born: bool = False  # whether its worker has been ready before
    job: _Job | None = None
    since: float = 0.0  # of `time.monotonic()`: when the job was begun


class Pool:
    """Workers that measure one task.

    One that dies is replaced, and its candidate measured once more; one whose candidate takes too long is ended, and
    the candidate has failed.

    Args:
        task: What is measured; workers get no more of it than they need.
        site: Where the workers are.
        seconds: That a candidate may take; None for no limit.
        wary: Whether a worker in which memory was short is replaced: an import may have ended halfway.
    """

    def __init__(self, task: Task, site: Backend, seconds: float | None = None, wary: bool = False) -> None:
        costly = {name: metric for name, metric in task.metrics.items() if not closed_form(metric)}
        self._task = replace(task, metrics=costly, recorded=frozenset(), constraints=())
        self._site, self._seconds, self._wary = site, seconds, wary
        self._seats: list[_Seat] = []
        self._waiting: deque[_Job] = deque()
        self._done: deque[tuple[Genome, dict[str, Measurement]]] = deque()
        self._stillborn = 0
        self._idle = 0.0  # seconds in which this process did not work, up to the end of its last wait

    @property
    def full(self) -> bool:
        """Whether every worker has something to do, and one genome is at hand for whoever is done first."""
        return len(self._waiting) + sum(seat.job is not None for seat in self._seats) > len(self._site.places)

    def submit(self, genome: Genome, labels: Mapping[str, str]) -> None:
        """Hand in a genome; the first one calls the workers."""
        if not self._seats:
            for place in self._site.places:
                self._seats.append(_Seat(place, self._site.hire(place)))
            for seat in self._seats:  # when all of them are on their way: a large task may have to wait for its reader
                self._send(seat, self._task)
        self._waiting.append(_Job(genome, labels))
        self._assign()

    def result(self) -> tuple[Genome, dict[str, Measurement]]:
        """Wait for the next genome that is done.

        Raises:
            NasctlError: What the user has to mend, or no worker lives long enough.
        """
        while not self._done:
            ends = [seat.since + self._seconds for seat in self._seats if seat.job and self._seconds is not None]
            left = min(SLICE, max(0.0, min(ends) - time.monotonic())) if ends else None
            seats = {id(seat.worker): seat for seat in self._seats if seat.job or not seat.ready}
            answers = self._wait([seat.worker for seat in seats.values()], left)
            # Deaths come last: those who have answered meanwhile are idle then, and are asked whether they still live.
            for worker, answer in sorted(answers, key=lambda one: isinstance(one[1], EOFError)):
                self._note(seats[id(worker)], answer)
            self._end_the_late()
            self._assign()
        return self._done.popleft()

    def close(self) -> None:
        """End all workers; they hold nothing that could be lost."""
        for seat in self._seats:
            seat.worker.kill()
        self._site.close()

    def _wait(self, workers: list[WorkerHandle], seconds: float | None) -> list[tuple[WorkerHandle, Answer | EOFError]]:
        """What workers say; where all were stopped for a while (Ctrl-Z), that is no candidate's time."""
        answers = self._site.wait(workers, seconds)
        if self._seconds is not None:
            now = time.monotonic()
            idle = now - time.process_time()
            stopped = idle - self._idle - (seconds or 0.0)  # this process neither worked nor waited
            if stopped > SLICE:
                for seat in self._seats:
                    seat.since = min(seat.since + stopped, now)
            self._idle = idle
        return answers

    def _send(self, seat: _Seat, message: Message) -> None:
        try:
            seat.worker.send(message)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise NasctlError(
                f"what is to be measured cannot be sent to workers ({error}); define it at the top of a module, or"
                " leave --workers out"
            ) from error

    def _assign(self) -> None:
        """Give work to those who have none."""
        for seat in self._seats:
            if not self._waiting:
                return
            if seat.ready and seat.job is None and not self._held(seat):
                seat.job, seat.since = self._waiting.popleft(), time.monotonic()
                self._send(seat, (seat.job.genome, seat.job.labels))

    def _held(self, seat: _Seat) -> bool:
        """Whether a seat has to wait for those that share its GPU: somebody is alone there, or is to be next."""
        near = [one.job for one in self._seats if one.job and one.place == seat.place] if seat.place else []
        return any(job.alone for job in near) or (bool(near) and self._waiting[0].alone)

    def _note(self, seat: _Seat, answer: Answer | EOFError) -> None:
        """Deal with what a worker says."""
        if isinstance(answer, EOFError):
            self._bury(seat)
            return
        self._stillborn = 0
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            seat.ready, seat.born = True, True
        elif seat.job is not None:
            job, seat.job = seat.job, None
            errors = [one.error for one in answer.values() if one.error is not None]
            if self._shares(seat) and not job.alone and any(map(NO_ROOM.search, errors)):
                job.alone = True
                self._waiting.appendleft(job)
                return
            self._done.append((job.genome, answer))
            if self._wary and any(map(WORN.search, errors)):
                self._replace(seat)

    def _shares(self, seat: _Seat) -> bool:
        """Whether there are others on its GPU."""
        return seat.place != "" and sum(one.place == seat.place for one in self._seats) > 1

    def _bury(self, seat: _Seat) -> None:
        """Deal with a death."""
        if not seat.born:
            self._stillborn += 1
            if self._stillborn == STILLBORN:
                raise NasctlError(
                    "worker processes die before they can begin; free some memory, or give fewer --workers (in a"
                    ' script of your own, search under `if __name__ == "__main__":`)'
                )
        elif seat.job:
            self._call_the_idle()
            seat.job.deaths += 1
            if seat.job.deaths < TRIES:
                self._waiting.appendleft(seat.job)
            else:
                error = f"ChildProcessError: the worker that measured it died, {TRIES} times"
                self._done.append(seat.job.failed(error, time.monotonic() - seat.since))
        self._replace(seat)

    def _call_the_idle(self) -> None:
        """Let them say that they live: a candidate is to be tried again by nobody who died before it came."""
        for seat in self._seats:
            if seat.ready and seat.job is None:
                seat.ready = False
                self._send(seat, self._task)

    def _end_the_late(self) -> None:
        for seat in self._seats:
            if seat.job and self._seconds is not None and time.monotonic() - seat.since >= self._seconds:
                error = f"TimeoutError: no result after {self._seconds:g} s, which is the limit (--candidate-time)"
                self._done.append(seat.job.failed(error, self._seconds))
                self._replace(seat)

    def _replace(self, seat: _Seat) -> None:
        seat.worker.kill()
        seat.ready, seat.born, seat.job = False, False, None
        seat.worker = self._site.hire(seat.place)
        self._send(seat, self._task)

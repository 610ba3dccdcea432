"""A pool of workers that may hang, run out of memory or die."""

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
from nasctl.system.terminal import say
from nasctl.system.wording import plural
from nasctl.workers.worker import OUT_OF_MEMORY, Answer, Backend, Message, WorkerHandle

TRIES = 2  # workers that may die while they measure a candidate; one death may be an accident, two are its fault
MAX_EARLY_DEATHS = 5  # workers that die before they are ready, in a row, after which the pool gives up
STOP_SECONDS = 10.0  # longest wait in seconds for the checkpoints of trainings when a pool is closed
SILENT_SECONDS = 1.0  # seconds of that wait after which a message says so
POLL_SECONDS = 1.0  # longest wait for an answer in seconds where candidates have a time limit

# Errors of a worker whose memory was short. An import that failed then leaves a module half initialised.
MEMORY_OR_IMPORT = re.compile(rf"{OUT_OF_MEMORY.pattern}|^(ImportError|ModuleNotFoundError)", re.IGNORECASE)


@dataclass
class _Job:
    """A genome to measure.

    Attributes:
        genome: The genome.
        labels: Labels to measure, by metric.
        deaths: Workers that died while they measured it.
        alone: Whether it must not share a GPU with another job.
    """

    genome: Genome
    labels: Mapping[str, str]
    deaths: int = 0
    alone: bool = False

    def failed(self, error: str, seconds: float) -> tuple[Genome, dict[str, Measurement]]:
        """Return the result of a job that was ended: all its metrics failed."""
        return self.genome, {label: Measurement(None, error, seconds) for label in self.labels.values()}


@dataclass
class _Slot:
    """A place for one worker, which is replaced when it dies.

    Attributes:
        gpu: GPU of the worker; "" for none.
        worker: The present worker.
        ready: Whether the worker waits for a job or has one.
        was_ready: Whether the worker has ever been ready.
        job: The job that the worker measures.
        since: Value of `time.monotonic()` when the job was begun.
    """

    gpu: str
    worker: WorkerHandle
    ready: bool = False
    was_ready: bool = False
    job: _Job | None = None
    since: float = 0.0


class Pool:
    """A pool of workers that measures one task.

    A worker that dies is replaced, and its candidate is measured once more. A worker whose candidate exceeds the time
    limit is killed, and the candidate has failed. A candidate that exhausts the memory of a GPU that several workers
    share is measured once more, alone on the GPU.

    Args:
        task: What to measure. Workers are sent only the metrics that need a module.
        backend: Starts the workers.
        seconds: Time limit of a candidate in seconds; None for no limit.
        limited: Whether candidates have a memory limit. A worker in which memory was short is then replaced, because an
            import may have failed halfway.
    """

    def __init__(self, task: Task, backend: Backend, seconds: float | None = None, limited: bool = False) -> None:
        costly = {name: metric for name, metric in task.metrics.items() if not closed_form(metric)}
        self._task = replace(task, metrics=costly, recorded=frozenset(), constraints=())
        self._backend, self._seconds, self._limited = backend, seconds, limited
        self._slots: list[_Slot] = []
        self._waiting: deque[_Job] = deque()
        self._done: deque[tuple[Genome, dict[str, Measurement]]] = deque()
        self._early_deaths = 0
        self._idle = 0.0  # seconds in which this process did not compute, up to the end of its last wait

    @property
    def full(self) -> bool:
        """Whether every worker has a job and one more job waits for the first worker that is done."""
        return len(self._waiting) + sum(slot.job is not None for slot in self._slots) > len(self._backend.gpus)

    def submit(self, genome: Genome, labels: Mapping[str, str]) -> None:
        """Hand in a genome; the first one starts the workers."""
        if not self._slots:
            for gpu in self._backend.gpus:
                self._slots.append(_Slot(gpu, self._backend.start(gpu)))
            # The task is sent once all workers are starting, because sending a large one may block until it is read.
            for slot in self._slots:
                self._send(slot, self._task)
        self._waiting.append(_Job(genome, labels))
        self._assign()

    def result(self) -> tuple[Genome, dict[str, Measurement]]:
        """Wait for the next genome that is done.

        Raises:
            NasctlError: The user has to mend something, or no worker lives long enough.
        """
        while not self._done:
            ends = [slot.since + self._seconds for slot in self._slots if slot.job and self._seconds is not None]
            left = min(POLL_SECONDS, max(0.0, min(ends) - time.monotonic())) if ends else None
            slots = {id(slot.worker): slot for slot in self._slots if slot.job or not slot.ready}
            answers = self._wait([slot.worker for slot in slots.values()], left)
            # Deaths come last: workers that have answered meanwhile are idle by then, and are asked for a sign of life.
            for worker, answer in sorted(answers, key=lambda one: isinstance(one[1], EOFError)):
                self._handle(slots[id(worker)], answer)
            self._end_overdue()
            self._assign()
        return self._done.popleft()

    def close(self) -> None:
        """End all workers: trainings after a checkpoint, if it is written within `STOP_SECONDS`, and others at once."""
        try:
            if self._task.trains:
                self._stop_trainings()
        finally:  # also after another Ctrl-C
            for slot in self._slots:
                slot.worker.kill()
            self._backend.close()

    def _stop_trainings(self) -> None:
        """Ask workers that train to write a checkpoint, and wait until they have ended or the time is over."""
        left = {id(slot.worker): slot.worker for slot in self._slots if slot.job and slot.worker.stop()}
        begun = time.monotonic()
        for limit in (SILENT_SECONDS, STOP_SECONDS):
            while left and (seconds := begun + limit - time.monotonic()) > 0:
                for worker, _ in self._backend.wait(list(left.values()), seconds):
                    del left[id(worker)]
            if left and limit < STOP_SECONDS:
                number = plural(len(left), "checkpoint")
                say("", f"waiting up to {STOP_SECONDS - limit:g} s for {number}; another Ctrl-C ends at once")

    def _wait(self, workers: list[WorkerHandle], seconds: float | None) -> list[tuple[WorkerHandle, Answer | EOFError]]:
        """Wait for answers. A pause of all processes, as by Ctrl-Z, does not count as a candidate's time."""
        answers = self._backend.wait(workers, seconds)
        if self._seconds is not None:
            now = time.monotonic()
            idle = now - time.process_time()
            paused = idle - self._idle - (seconds or 0.0)  # this process neither computed nor waited
            if paused > POLL_SECONDS:
                for slot in self._slots:
                    slot.since = min(slot.since + paused, now)
            self._idle = idle
        return answers

    def _send(self, slot: _Slot, message: Message) -> None:
        """Send a message to the worker of a slot.

        Raises:
            NasctlError: The message cannot be pickled.
        """
        try:
            slot.worker.send(message)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise NasctlError(
                f"what is to be measured cannot be sent to workers ({error}); define it at the top of a module, or"
                " leave --workers out"
            ) from error

    def _assign(self) -> None:
        """Give waiting jobs to idle workers."""
        for slot in self._slots:
            if not self._waiting:
                return
            if slot.ready and slot.job is None and not self._gpu_taken(slot):
                slot.job, slot.since = self._waiting.popleft(), time.monotonic()
                self._send(slot, (slot.job.genome, slot.job.labels))

    def _gpu_taken(self, slot: _Slot) -> bool:
        """Return whether the next job has to wait for the GPU: a job is alone there, or the next one has to be."""
        jobs = [one.job for one in self._slots if one.job and one.gpu == slot.gpu] if slot.gpu else []
        return any(job.alone for job in jobs) or (bool(jobs) and self._waiting[0].alone)

    def _handle(self, slot: _Slot, answer: Answer | EOFError) -> None:
        """Handle the answer or the death of the worker of a slot."""
        if isinstance(answer, EOFError):
            self._handle_death(slot)
            return
        self._early_deaths = 0
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            slot.ready, slot.was_ready = True, True
        elif slot.job is not None:
            job, slot.job = slot.job, None
            errors = [one.error for one in answer.values() if one.error is not None]
            if self._shares_gpu(slot) and not job.alone and any(map(OUT_OF_MEMORY.search, errors)):
                job.alone = True
                self._waiting.appendleft(job)
                return
            self._done.append((job.genome, answer))
            if self._limited and any(map(MEMORY_OR_IMPORT.search, errors)):
                self._replace(slot)

    def _shares_gpu(self, slot: _Slot) -> bool:
        """Return whether another slot has the same GPU."""
        return slot.gpu != "" and sum(one.gpu == slot.gpu for one in self._slots) > 1

    def _handle_death(self, slot: _Slot) -> None:
        """Replace a dead worker, and measure its candidate again or let it fail.

        Raises:
            NasctlError: Too many workers died before they were ready.
        """
        if not slot.was_ready:
            self._early_deaths += 1
            if self._early_deaths == MAX_EARLY_DEATHS:
                raise NasctlError(
                    "worker processes die before they can begin; free some memory, or give fewer --workers (in a"
                    ' script of your own, search under `if __name__ == "__main__":`)'
                )
        elif slot.job:
            self._ping_idle()
            slot.job.deaths += 1
            if slot.job.deaths < TRIES:
                self._waiting.appendleft(slot.job)
            else:
                error = f"ChildProcessError: the worker that measured it died, {TRIES} times"
                self._done.append(slot.job.failed(error, time.monotonic() - slot.since))
        self._replace(slot)

    def _ping_idle(self) -> None:
        """Ask idle workers for a sign of life, so that no candidate is retried on a worker that is dead already."""
        for slot in self._slots:
            if slot.ready and slot.job is None:
                slot.ready = False
                self._send(slot, self._task)

    def _end_overdue(self) -> None:
        """Kill workers whose candidate exceeds the time limit, and let the candidate fail."""
        for slot in self._slots:
            if slot.job and self._seconds is not None and time.monotonic() - slot.since >= self._seconds:
                error = f"TimeoutError: no result after {self._seconds:g} s, which is the limit (--candidate-time)"
                self._done.append(slot.job.failed(error, self._seconds))
                self._replace(slot)

    def _replace(self, slot: _Slot) -> None:
        """Kill the worker of a slot and start another one."""
        slot.worker.kill()
        slot.ready, slot.was_ready, slot.job = False, False, None
        slot.worker = self._backend.start(slot.gpu)
        self._send(slot, self._task)

"""The progress of trainings that a search has begun, in this process or in workers, read from their logs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from nasctl.evaluation.executor import Executor
from nasctl.problem.space import Genome
from nasctl.store.measurements import Measurement
from nasctl.system.progress import CandidateProgress, WorkInProgress
from nasctl.training.folder import TrainingFolder, trainings_folder

TAIL = 4096  # bytes at the end of a log that are read; an entry has about 150
LEAST_SECONDS = 5.0  # seconds of a training before its speed counts: the first steps are slower than the others


class TrainingEffort(NamedTuple):
    """The trainings of a search.

    Attributes:
        candidates: Number of candidates.
        steps: Steps of each training.
        epochs: Epochs of each training.
        names: Returns the names of the trainings of a candidate: one for each draw of weights.
        draws: Trainings of each candidate.
    """

    candidates: int
    steps: int
    epochs: int
    names: Callable[[Genome], Sequence[str]]
    draws: int = 1


class FollowedTrainings:
    """An executor that notes which trainings are in progress, and hands everything on to another executor.

    Args:
        executor: Trains the candidates.
        plan: The trainings.
        store: Path of the store, beside which the trainings have their folders.
    """

    def __init__(self, executor: Executor, plan: TrainingEffort, store: str) -> None:
        self._executor, self._plan, self._folder = executor, plan, trainings_folder(store)
        self._lock = Lock()  # the display asks from a thread of its own
        self._begun: dict[Genome, tuple[float, Sequence[str]]] = {}  # when it was handed in, and its trainings
        self._first: dict[str, tuple[float, int]] = {}  # time and step at which a training was first seen
        self._speed = 0.0  # steps per second of all trainings in progress together; 0 before it is known
        self._early: set[Genome] = set()  # candidates that are done, and that the search was not given in their turn

    @property
    def full(self) -> bool:
        """Whether a result has to be taken before the next candidate is handed in."""
        return self._executor.full

    def submit(self, genome: Genome, labels: Mapping[str, str]) -> None:
        """Hand in a candidate."""
        with self._lock:
            self._begun[genome] = time.time(), self._plan.names(genome)
        self._executor.submit(genome, labels)

    def result(self) -> tuple[Genome, dict[str, Measurement]]:
        """Wait for the next candidate that is done, and return its measurements by label."""
        found = self._executor.result()
        with self._lock:
            self._begun.pop(found[0], None)
            self._early.add(found[0])
        return found

    @property
    def begun(self) -> Sequence[str]:
        """The unfinished trainings that have done a step."""
        with self._lock:
            begun = list(self._begun.values())
        names = [(since, name) for since, names in begun for name in names]
        return [
            name
            for since, name in names
            if not self._of(name).weights.exists() and last_step(self._of(name).log, since) is not None
        ]

    def given(self, genome: Genome) -> None:
        """Note that the search has been given a candidate in its turn."""
        with self._lock:
            self._early.discard(genome)

    def finished(self) -> int:
        """Return the number of candidates whose trainings are finished, and that the search was not given."""
        with self._lock:
            begun, early = list(self._begun.values()), len(self._early)
        return early + sum(all(self._of(name).weights.exists() for name in names) for _, names in begun)

    def work(self, given: int) -> WorkInProgress:
        """Return the trainings in progress, and the time until the last one is finished.

        Args:
            given: Candidates that the search has been given.
        """
        with self._lock:
            begun, early = list(self._begun.values()), len(self._early)
        tasks, speeds, now = list[CandidateProgress](), list[float](), time.monotonic()
        for since, names in begun:
            for name in names:
                if (step := last_step(self._of(name).log, since)) is None:
                    continue
                first, before = self._first.setdefault(name, (now, step))
                if now - first >= LEAST_SECONDS:
                    speeds.append(max(0, step - before) / (now - first))
                epoch = min(self._plan.epochs, step * self._plan.epochs // self._plan.steps + 1)
                tasks.append(CandidateProgress(name, step, self._plan.steps, f"epoch {epoch}/{self._plan.epochs}"))
        if any(speeds):  # a training that has just begun will be as fast as the others
            together = max(len(tasks), len(begun) - 1)  # one candidate at most waits for a worker
            self._speed = sum(speeds) / len(speeds) * together
        finished = given + early
        whole = (self._plan.candidates - finished) * self._plan.draws * self._plan.steps
        steps = max(0, whole - sum(one.done for one in tasks))
        return WorkInProgress(finished, tasks, steps / self._speed if self._speed else None)

    def _of(self, name: str) -> TrainingFolder:
        return TrainingFolder(self._folder / name)


def last_step(log: Path, since: float) -> int | None:
    """Return the last step in the log of a training; None if no step was written since a time.

    Args:
        log: The log, which need not exist.
        since: The time, in seconds since the epoch.
    """
    try:
        with log.open("rb") as file:
            if log.stat().st_mtime < since:
                return None
            file.seek(max(0, file.seek(0, 2) - TAIL))
            lines = file.read().split(b"\n")[::-1]
    except OSError:
        return None
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:  # the entry in progress, or the rest of one
            continue
        if isinstance(entry, dict) and entry.get("event") in ("step", "resumed", "diverged"):
            return int(entry["back_to"] if entry["event"] == "diverged" else entry["step"])
    return None


__all__ = ["FollowedTrainings", "TrainingEffort"]

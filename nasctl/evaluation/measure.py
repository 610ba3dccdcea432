"""Measurement of one genome by several objectives in this process."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout

from nasctl.candidates.candidate import Candidate
from nasctl.candidates.objective import ARITHMETIC, Objective, closed_form
from nasctl.errors import NasctlError
from nasctl.evaluation.task import Task
from nasctl.problem.space import Genome
from nasctl.store.measurements import Measurement


class LocalExecutor:
    """Measures in this process, one genome after another."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._asked: list[tuple[Genome, Mapping[str, str]]] = []

    @property
    def full(self) -> bool:
        return bool(self._asked)

    def submit(self, genome: Genome, labels: Mapping[str, str]) -> None:
        self._asked.append((genome, labels))

    def result(self) -> tuple[Genome, dict[str, Measurement]]:
        genome, labels = self._asked.pop()
        return genome, measure(self._task, genome, labels)


def measure(task: Task, genome: Genome, labels: Mapping[str, str]) -> dict[str, Measurement]:
    """Score a genome by some of the objectives; returns measurements by label.

    The pass that they share is charged to the first that uses it.

    Raises:
        NasctlError: What the user has to mend, such as a table that lacks a block; any other failure is recorded.
    """
    needs = frozenset[str]().union(*(task.metrics[name].needs for name in labels))
    setting = task.setting
    if needs <= ARITHMETIC:  # arithmetic and look-ups, without the seconds that importing torch takes
        candidate = Candidate(task.space, genome, setting, needs)
        return {label: score(task.metrics[name], candidate) for name, label in labels.items()}
    from nasctl.candidates.determinism import deterministic_torch, seeded_globals

    with deterministic_torch(setting.threads):
        found: dict[str, list[Measurement]] = {label: [] for label in labels.values()}
        for drawn in setting.draws():  # one after another, so that what one needs is freed before the next
            candidate = Candidate(task.space, genome, drawn, needs)
            for name, label in labels.items():
                if not found[label] or not closed_form(task.metrics[name]):
                    with seeded_globals(drawn.seed):
                        found[label].append(score(task.metrics[name], candidate))
    return {label: mean_of_draws(draws) for label, draws in found.items()}


def mean_of_draws(draws: Sequence[Measurement]) -> Measurement:
    """What several draws of weights and examples give together: failed if one failed."""
    seconds = sum(one.seconds for one in draws)
    values = [one.value for one in draws if one.value is not None]
    error = next((one.error for one in draws if one.error is not None), None)
    return Measurement(None if error else math.fsum(values) / len(values), error, seconds)


def score(objective: Objective, candidate: Candidate) -> Measurement:
    """The value of one objective, or why there is none."""
    start = time.perf_counter()
    value, error = None, None
    try:
        with redirect_stdout(sys.stderr):  # standard output is for data, whatever a plug-in prints
            value = float(objective(candidate))  # numpy's numbers are not SQLite's
        if not math.isfinite(value):
            raise ArithmeticError(f"the score is {value}")  # and SQLite would turn a NaN into NULL
    except NasctlError:
        raise
    except (Exception, SystemExit) as failure:  # one broken candidate must not end a run of a thousand
        value, error = None, f"{type(failure).__name__}: {failure}"
    return Measurement(value, error, time.perf_counter() - start)

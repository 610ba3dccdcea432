"""Measurement of one genome by several metrics in this process."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout

from nasctl.candidates.arithmetic_candidate import ArithmeticCandidate
from nasctl.candidates.candidate import Candidate
from nasctl.candidates.objective import ARITHMETIC, Objective, closed_form
from nasctl.errors import NasctlError
from nasctl.evaluation.machine import arithmetic_machine, module_machine
from nasctl.evaluation.task import Task
from nasctl.problem.space import Genome
from nasctl.registry.own_spaces import candidate_of, place_of
from nasctl.store.measurements import Measurement


class LocalExecutor:
    """An executor that measures in this process, one genome after another.

    Args:
        task: What to measure.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._submitted: list[tuple[Genome, Mapping[str, str]]] = []  # one genome at most

    @property
    def full(self) -> bool:
        """Whether a genome was handed in."""
        return bool(self._submitted)

    def submit(self, genome: Genome, labels: Mapping[str, str]) -> None:
        """Hand in a genome; it is measured when its result is taken."""
        self._submitted.append((genome, labels))

    def result(self) -> tuple[Genome, dict[str, Measurement]]:
        """Measure the genome that was handed in."""
        genome, labels = self._submitted.pop()
        return genome, measure(self._task, genome, labels)


def measure(task: Task, genome: Genome, labels: Mapping[str, str]) -> dict[str, Measurement]:
    """Score a genome by some metrics of a task.

    Metrics that need no module are scored once, the others once for each draw of weights and examples. The seconds of a
    pass over the module that several metrics share count for the first of them.

    Args:
        task: Gives the space, the metrics and the setting.
        genome: The genome, canonical.
        labels: Labels of the measurements to make, by metric.

    Returns:
        The measurements by label. A metric that raises an exception or returns no finite number has failed.

    Raises:
        NasctlError: The user has to mend something, for example a table that lacks a block.
    """
    needs = frozenset[str]().union(*(task.measurable[name].needs for name in labels))
    setting = task.setting
    if needs <= ARITHMETIC:  # importing torch takes seconds, and arithmetic does without
        candidate, here = Candidate(task.space, genome, setting, needs), arithmetic_machine()
        return {label: score(task.measurable[name], candidate)._replace(machine=here) for name, label in labels.items()}
    from nasctl.candidates.determinism import deterministic_torch, seeded_globals

    with deterministic_torch(setting.threads):
        found: dict[str, list[Measurement]] = {label: [] for label in labels.values()}
        for drawn in setting.draws():  # metric by metric within a draw, so that its memory is freed before the next
            candidate = Candidate(task.space, genome, drawn, needs)
            for name, label in labels.items():
                if not found[label] or not closed_form(task.measurable[name]):
                    with seeded_globals(drawn.seed):
                        found[label].append(score(task.measurable[name], candidate))
    here = module_machine(setting.device, setting.threads)
    return {label: mean_of_draws(draws)._replace(machine=here) for label, draws in found.items()}


def mean_of_draws(draws: Sequence[Measurement]) -> Measurement:
    """Return the mean value of several draws of weights and examples; failed if one draw failed.

    The seconds of all draws are added up. The error is the first one.
    """
    seconds = sum(one.seconds for one in draws)
    values = [one.value for one in draws if one.value is not None]
    error = next((one.error for one in draws if one.error is not None), None)
    return Measurement(None if error else math.fsum(values) / len(values), error, seconds)


def score(objective: Objective, candidate: Candidate) -> Measurement:
    """Score a candidate by one objective.

    Returns:
        The value, or the class and message of the exception that the objective raised.

    Raises:
        NasctlError: The objective raised it, because the user has to mend something.
    """
    if closed_form(objective):
        candidate = ArithmeticCandidate(candidate, objective.needs)
    start = time.perf_counter()
    value, error = None, None
    try:
        with redirect_stdout(sys.stderr):  # a plug-in may print, and standard output is for data
            value = float(objective(candidate))  # SQLite does not take the number types of numpy
        if not math.isfinite(value):  # SQLite would turn NaN into NULL
            raise ArithmeticError(f"the score is {value}")
    except NasctlError:
        raise
    except (Exception, SystemExit) as failure:  # one broken candidate must not end the run
        value, error = None, f"{type(failure).__name__}: {failure}{_place(failure)}"
    return Measurement(value, error, time.perf_counter() - start)


def _place(failure: BaseException) -> str:
    """Return the line of a user's file, such as " (metric.py, line 12)", and the candidate whose network failed."""
    return f"; {note}" if (note := candidate_of(failure)) else f" ({place})" if (place := place_of(failure)) else ""

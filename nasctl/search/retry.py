"""Measures recorded errors of a run again, for a machine may have had too little memory or time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from nasctl import registry
from nasctl.candidates.objective import closed_form
from nasctl.data import source
from nasctl.errors import NasctlError, UnknownName
from nasctl.evaluation.executor import Executor, in_order
from nasctl.evaluation.measure import measure
from nasctl.evaluation.task import Task
from nasctl.problem.searcher import Evaluation
from nasctl.problem.space import Genome
from nasctl.search import recorded
from nasctl.search.metrics import make_objective
from nasctl.store.measurements import Ledger
from nasctl.store.run_record import RunRecord


class Failed(NamedTuple):
    """A candidate, and the metrics that failed for it."""

    genome: Genome
    names: tuple[str, ...]


class Outcome(NamedTuple):
    """What came of measuring a metric again."""

    objective: str
    tried: int  # candidates for which it had failed
    measured: int  # that have a value now
    errors: tuple[str, ...]  # of the others


def failed(record: RunRecord, visited: Sequence[Evaluation], only: Collection[str] = ()) -> list[Failed]:
    """What failed in a run.

    Args:
        record: The run.
        visited: Its candidates.
        only: Names of the metrics to look at; all of them if it is empty.

    Raises:
        UnknownName: The run has no such metric.
    """
    for name in only:
        if name not in record.labels:
            raise UnknownName("objective of this run", name, list(record.labels))
    found = (
        Failed(one.genome, tuple(name for name in one.errors if name in (only or record.labels))) for one in visited
    )
    return [one for one in found if one.names]


def task_of(record: RunRecord, names: Collection[str], data: str | None, here: bool = True) -> Task:
    """Metrics of a run as they were.

    Args:
        record: The run.
        names: Of the metrics.
        data: Where its examples are, as a person names it; where they were if it is None.
        here: Whether it is this process that runs modules.

    Raises:
        NasctlError: A metric is of another version here, or the data is other data.
    """
    known = recorded.setting_parts(record)["data"]
    given = data or record.config.get("data") or known.partition("#")[0]
    space = registry.create("spaces", record.space)
    setting = replace(recorded.recorded_setting(record), data=recorded.filed_data(source(given), space))
    if str(setting) != record.asked["setting"]:
        raise NasctlError(f"{given} is not the data of the run, which is {known}; give that with --data")
    if here and setting.device != "cpu":
        from nasctl.candidates.determinism import usable_device

        usable_device(setting.device)
    found = Task(space, dict(make_objective(name, record.space) for name in names), setting)
    for name, label in found.record(record.space).labels.items():
        if label != record.labels.get(name):
            raise NasctlError(f"{name} is of another version here; start a new run, which measures it anew")
    return found


def retried(
    task: Task, record: RunRecord, failures: Sequence[Failed], executor: Executor, ledger: Ledger
) -> Iterator[dict[str, str | None]]:
    """Yield what came of each candidate, by metric an error or None, as soon as it is on disk.

    Args:
        task: The metrics that failed.
        record: The run.
        failures: What to measure.
        executor: Where modules are measured.
        ledger: Where it is kept.
    """
    cheap = {name for name, metric in task.metrics.items() if closed_form(metric)}
    here, away = (
        {one.genome: _labels(record, one, kind) for one in failures} for kind in (cheap, task.metrics.keys() - cheap)
    )
    for genome, measured in in_order(executor, away.items(), ledger.replace):
        outcome = measured | measure(task, genome, here[genome])
        ledger.replace(genome, outcome)
        yield {name: outcome[label].error for name, label in (here[genome] | away[genome]).items()}


def _labels(record: RunRecord, failure: Failed, names: Collection[str]) -> dict[str, str]:
    return {name: record.labels[name] for name in failure.names if name in names}


def summed(name: str, outcomes: Sequence[Mapping[str, str | None]]) -> Outcome:
    """What came of a metric."""
    found = [one[name] for one in outcomes if name in one]
    errors = [error for error in found if error is not None]
    return Outcome(name, len(found), len(found) - len(errors), tuple(sorted(set(errors))))

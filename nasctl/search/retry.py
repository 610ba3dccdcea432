"""New measurements of what failed in a recorded run, for example because memory or time was short."""

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


class FailedCandidate(NamedTuple):
    """A candidate with the names of the metrics that failed for it."""

    genome: Genome
    names: tuple[str, ...]


class RetrySummary(NamedTuple):
    """The outcome of measuring one metric again.

    Attributes:
        objective: Name of the metric.
        tried: Candidates for which the metric had failed.
        measured: Candidates that have a value now.
        errors: Different errors of the other candidates, sorted.
    """

    objective: str
    tried: int
    measured: int
    errors: tuple[str, ...]


def failed_candidates(
    record: RunRecord, visited: Sequence[Evaluation], only: Collection[str] = ()
) -> list[FailedCandidate]:
    """Return the candidates of a run for which a metric failed, in order.

    Args:
        record: Record of the run.
        visited: Candidates of the run.
        only: Names of the metrics to look at; empty for all metrics.

    Raises:
        UnknownName: The run has no such metric.
    """
    for name in only:
        if name not in record.labels:
            raise UnknownName("objective of this run", name, list(record.labels))
    wanted = only or record.labels
    found = [FailedCandidate(one.genome, tuple(name for name in one.errors if name in wanted)) for one in visited]
    return [one for one in found if one.names]


def task_from_record(record: RunRecord, names: Collection[str], data: str | None, here: bool = True) -> Task:
    """Rebuild the task of a run for some of its metrics.

    Args:
        record: Record of the run.
        names: Names of the metrics.
        data: Name or path of the examples; None for the name or path that the run used.
        here: Whether this process runs modules, so that the torch device is checked.

    Raises:
        NasctlError: A metric has another version here, the data is other data, or the torch device cannot be used.
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


def retry_failed(
    task: Task, record: RunRecord, failures: Sequence[FailedCandidate], executor: Executor, ledger: Ledger
) -> Iterator[dict[str, str | None]]:
    """Measure failed metrics again, and yield the outcome of each candidate as soon as it is on disk.

    Args:
        task: The metrics that failed.
        record: Record of the run.
        failures: Candidates with their failed metrics.
        executor: Where modules are measured.
        ledger: Stores the measurements.

    Yields:
        By metric: the new error, or None for a value.
    """
    cheap = {name for name, metric in task.metrics.items() if closed_form(metric)}
    cheap_labels, module_labels = (
        {one.genome: _labels(record, one, names) for one in failures} for names in (cheap, task.metrics.keys() - cheap)
    )
    for genome, measured in in_order(executor, module_labels.items(), ledger.replace):
        outcome = measured | measure(task, genome, cheap_labels[genome])
        ledger.replace(genome, outcome)
        yield {name: outcome[label].error for name, label in (cheap_labels[genome] | module_labels[genome]).items()}


def _labels(record: RunRecord, failure: FailedCandidate, names: Collection[str]) -> dict[str, str]:
    """Return the labels of those failed metrics of a candidate that are among the names, by metric."""
    return {name: record.labels[name] for name in failure.names if name in names}


def summarize(name: str, outcomes: Sequence[Mapping[str, str | None]]) -> RetrySummary:
    """Return the outcome of measuring one metric again, given the outcomes of all candidates."""
    found = [one[name] for one in outcomes if name in one]
    errors = [error for error in found if error is not None]
    return RetrySummary(name, len(found), len(found) - len(errors), tuple(sorted(set(errors))))

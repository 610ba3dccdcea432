"""Comparison of cheaper fidelities with the full fidelity: rank correlation and cost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.stats import kendalltau

from nasctl.analysis.correlate import oriented_values
from nasctl.analysis.score import Scored, score_genomes
from nasctl.analysis.timing import median_total_seconds
from nasctl.candidates.objective import Objective
from nasctl.errors import NasctlError
from nasctl.evaluation.task import Task
from nasctl.problem.fidelity import Fidelity
from nasctl.problem.space import Genome
from nasctl.store.store import Store


@dataclass(frozen=True, slots=True)
class FidelityResult:
    """The comparison of one fidelity with the full fidelity.

    Args:
        name: Name of the level, or the text of a fidelity without a name.
        fidelity: Fidelity of the measurements.
        seconds: Median seconds per candidate of all metrics together, as the store has them.
        tau: Kendall's tau with the full fidelity, by metric; None where a fidelity takes all candidates for equal.
        failed: Number of candidates without a value, by metric.
        tau_without_failed: Kendall's tau among the candidates with a value at both fidelities, by metric.
    """

    name: str
    fidelity: Fidelity
    seconds: float
    tau: dict[str, float | None]
    failed: dict[str, int]
    tau_without_failed: dict[str, float | None] = field(default_factory=dict)

    def remarks(self, networks: int) -> list[str]:
        """Return a sentence for each metric that failed on some of the candidates.

        Args:
            networks: Number of candidates.
        """
        return [
            f"{name} failed on {number} of {networks} networks at {self.name}, which count as worst: Kendall"
            f" {_number(self.tau[name])} with them, {_number(self.tau_without_failed.get(name))} without"
            for name, number in self.failed.items()
            if number
        ]


def compare_fidelities(
    task: Task, space: str, forms: Mapping[str, Fidelity], genomes: Sequence[Genome], store: Store
) -> Iterator[FidelityResult]:
    """Yield the comparison of each fidelity with the first one, and at last of the first one with another seed.

    The last row limits the other rows: a cheaper fidelity cannot be expected to keep an order that other weights and
    examples do not keep.

    Args:
        task: Space, metrics and setting; the fidelity of the setting is replaced.
        space: Spec of the space.
        forms: Fidelities by name, the full fidelity first.
        genomes: Canonical genomes to measure.
        store: Store of the measurements.

    Raises:
        NasctlError: No metric depends on the fidelity.
    """
    names = [name for name, metric in task.metrics.items() if not metric.needs <= {"network"}]
    if not names:
        raise NasctlError(f"the fidelity does not matter to {', '.join(task.metrics)}; give a metric with --objective")
    settings = {name: replace(task.setting, fidelity=fidelity) for name, fidelity in forms.items()}
    first = next(iter(forms))
    settings[f"{first}, other seed"] = replace(settings[first], seed=task.setting.seed + 1)
    reference: list[Scored] = []
    for name, setting in settings.items():
        rows = list(score_genomes(replace(task, setting=setting), space, genomes, store))
        reference = reference or rows
        yield FidelityResult(
            name,
            setting.fidelity,
            median_total_seconds(rows),
            {one: _tau(one, task.metrics[one], reference, rows) for one in names},
            {one: sum(one in row.evaluation.errors for row in rows) for one in names},
            {one: _tau(one, task.metrics[one], reference, rows, common=True) for one in names},
        )


def _tau(
    name: str, metric: Objective, one: Sequence[Scored], other: Sequence[Scored], common: bool = False
) -> float | None:
    """Return Kendall's tau between two fidelities; None where one takes all candidates for equal.

    Args:
        name: Name of the metric.
        metric: The metric.
        one: Candidates at the first fidelity.
        other: The same candidates at the other fidelity.
        common: Whether failed candidates are left out; otherwise they rank worst in each fidelity.
    """
    columns = [
        oriented_values(metric, [row.evaluation.values.get(name, math.nan) for row in rows]) for rows in (one, other)
    ]
    if common:
        both = np.isfinite(columns[0]) & np.isfinite(columns[1])
        columns = [values[both] for values in columns]
    if len(columns[0]) < 2:
        return None
    tau = float(kendalltau(*(np.where(np.isfinite(values), values, -np.inf) for values in columns)).statistic)
    return None if math.isnan(tau) else tau


def _number(tau: float | None) -> str:
    return "-" if tau is None else f"{tau:.2f}"

"""How well cheaper fidelities keep the order that the full one gives, and what they cost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import kendalltau

from nasctl.analysis.correlate import oriented
from nasctl.analysis.score import Scored, scored
from nasctl.analysis.timing import median_total_seconds
from nasctl.candidates.objective import Objective
from nasctl.errors import NasctlError
from nasctl.evaluation.task import Task
from nasctl.problem.fidelity import Fidelity
from nasctl.problem.space import Genome
from nasctl.store.store import Store


@dataclass(frozen=True, slots=True)
class Form:
    """One fidelity beside the full one.

    Args:
        name: Of the level, or "" if it has none.
        fidelity: What was measured.
        seconds: Median seconds per candidate of all metrics together, as the store has them.
        tau: Kendall's tau with the full form by metric; None where one of them tells no two candidates apart.
        failed: Candidates without a value, by metric.
    """

    name: str
    fidelity: Fidelity
    seconds: float
    tau: dict[str, float | None]
    failed: dict[str, int]


def compared(
    task: Task, space: str, forms: Mapping[str, Fidelity], genomes: Sequence[Genome], store: Store
) -> Iterator[Form]:
    """Yield the forms, each compared with the first; last the first one with another seed.

    That last row is what no cheaper form can be expected to beat: an order that other weights do not keep.

    Args:
        task: What is measured.
        space: Spec of its space.
        forms: By name; the full one first.
        genomes: Canonical ones.
        store: Where measurements are kept.

    Raises:
        NasctlError: Nothing that is measured depends on the fidelity.
    """
    names = [name for name, metric in task.metrics.items() if not metric.needs <= {"network"}]
    if not names:
        raise NasctlError(f"the fidelity does not matter to {', '.join(task.metrics)}; give a metric with --objective")
    settings = {name: replace(task.setting, fidelity=fidelity) for name, fidelity in forms.items()}
    first = next(iter(forms))
    settings[f"{first}, other seed"] = replace(settings[first], seed=task.setting.seed + 1)
    reference: list[Scored] = []
    for name, setting in settings.items():
        rows = list(scored(replace(task, setting=setting), space, genomes, store))
        reference = reference or rows
        yield Form(
            name,
            setting.fidelity,
            median_total_seconds(rows),
            {one: _tau(one, task.metrics[one], reference, rows) for one in names},
            {one: sum(one in row.evaluation.errors for row in rows) for one in names},
        )


def _tau(name: str, metric: Objective, one: Sequence[Scored], other: Sequence[Scored]) -> float | None:
    """Of two forms; who failed in one is worst there, as elsewhere."""
    columns = [oriented(metric, [row.evaluation.values.get(name, math.nan) for row in rows]) for rows in (one, other)]
    tau = float(kendalltau(*(np.where(np.isfinite(values), values, -np.inf) for values in columns)).statistic)
    return None if math.isnan(tau) else tau

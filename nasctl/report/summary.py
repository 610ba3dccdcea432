"""What there is to say of a run: everything that its report shows, in numbers and words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from scipy.stats import kendalltau

from nasctl import registry
from nasctl.analysis.run_scores import scores_of_run
from nasctl.architectures import ids
from nasctl.errors import NasctlError
from nasctl.pareto.archive import closest_to_ideal
from nasctl.pareto.hypervolume import Scale, checkpoints
from nasctl.pareto.losses import feasible_losses, front, violations
from nasctl.problem.searcher import Direction, Evaluation, Transform
from nasctl.search.hypervolume import hypervolume_scale
from nasctl.store.run_record import RunRecord
from nasctl.store.store import RunSummary

STEPS = 100  # points of the curve of convergence


@dataclass(frozen=True)
class Series:
    """One thing that is known of the candidates.

    Args:
        name: Such as "latency@gpu".
        unit: Such as "ms, batch 64".
        values: In natural units, NaN where there is none, (N,).
        role: Whether it was optimised, recorded, or is known of every network.
        direction: Which end is better, if it was optimised.
        transform: What searchers see of it.
    """

    name: str
    unit: str
    values: np.ndarray
    role: str
    direction: Direction | None = None
    transform: Transform = "identity"


@dataclass(frozen=True)
class ReportSummary:
    """A run and what follows from it.

    Args:
        run: Its name, record and start.
        visited: Its candidates, in order, (N,).
        seconds: That measuring them took.
    """

    run: RunSummary
    visited: Sequence[Evaluation]
    seconds: float

    @property
    def record(self) -> RunRecord:
        """What the run asked."""
        return self.run.record

    @cached_property
    def ids(self) -> list[str]:
        """Of the candidates, (N,)."""
        genes = registry.create("spaces", self.record.space).genes
        return [ids.encode(self.record.space, genes, one.genome) for one in self.visited]

    @cached_property
    def points(self) -> np.ndarray:
        """Losses, (N, M); NaN in the row of what cannot be on the front."""
        return feasible_losses(self.visited, self.record.goals, self.record.constraints)

    @cached_property
    def broken(self) -> np.ndarray:
        """Which candidates break a constraint, (N,), as far as that is known."""
        names = {constraint.name for constraint in self.record.constraints}
        known = [not one.errors.keys() & names for one in self.visited]
        beyond = (violations(self.visited, self.record.constraints) > 0).any(axis=1)
        return np.logical_and(beyond, known)

    @cached_property
    def front(self) -> list[int]:
        """The rows of the non-dominated candidates, best in the first objective first."""
        rows = {one.genome: k for k, one in enumerate(self.visited)}
        return [rows[one.genome] for one in front(self.visited, self.record.goals, self.record.constraints)]

    @cached_property
    def closest(self) -> int | None:
        """Of those the one nearest to the best of every objective; None of an empty front."""
        return self.front[closest_to_ideal(self.points[self.front])] if self.front else None

    @cached_property
    def score(self) -> tuple[str, dict[int, float]]:
        """What the score of the run is called, and its values by row; "" for a run without metrics."""
        head, scores = scores_of_run(self.record, self.visited, None) or ("", {})
        return head, {k: scores[one.genome] for k, one in enumerate(self.visited) if one.genome in scores}

    @cached_property
    def series(self) -> list[Series]:
        """Everything that was measured, then parameters and MACs as baselines, then the order of evaluation."""
        found = [
            Series(
                name,
                column.unit,
                np.array([one.values.get(name, np.nan) for one in self.visited]),
                "optimised" if column.goal else "recorded",
                *((column.goal.direction, column.goal.transform) if column.goal else ()),
            )
            for name, column in self.record.columns.items()
        ]
        space = registry.create("spaces", self.record.space)
        networks = [space.network(one.genome) for one in self.visited]
        for name, unit in (("params", "parameters"), ("macs", "MACs")):
            if name not in self.record.columns:
                values = np.array([getattr(network, name) for network in networks], dtype=float)
                found.append(Series(name, unit, values, "baseline"))
        return [*found, Series("order of evaluation", "", np.arange(1.0, len(self.visited) + 1), "order")]

    @cached_property
    def correlations(self) -> dict[tuple[str, str], tuple[float, int]]:
        """Kendall's tau-b of every pair of series, and over how many candidates that have both and hold all bounds."""
        measured = [one for one in self.series if one.role != "order"]
        found = {}
        for one, other in combinations(measured, 2):
            both = np.isfinite(one.values) & np.isfinite(other.values) & ~self.broken
            tau = kendalltau(one.values[both], other.values[both]).statistic if both.sum() > 1 else np.nan
            found[one.name, other.name] = (float(tau), int(both.sum()))
        return found

    @cached_property
    def measured_on(self) -> tuple[Scale, str] | None:
        """The scale of the hypervolume and what it is; None where no candidate has a value in every objective."""
        try:
            return hypervolume_scale(self.record, self.visited)
        except NasctlError:
            return None

    @cached_property
    def growth(self) -> list[tuple[int, float]]:
        """The hypervolume after so many evaluations."""
        if self.measured_on is None:
            return []
        counts = checkpoints(len(self.visited), STEPS)
        return list(zip(counts, self.measured_on[0].curve(self.points, counts), strict=True))

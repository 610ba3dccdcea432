"""The numbers and texts that the report of a run shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import combinations

import numpy as np
from scipy.stats import kendalltau

from nasctl import registry
from nasctl.analysis.recommendation import Recommendation, recommend
from nasctl.analysis.run_scores import Sizes, scores_of_run, stored_sizes
from nasctl.architectures import ids
from nasctl.architectures.references import visited_references
from nasctl.errors import NasctlError
from nasctl.pareto.hypervolume import checkpoints
from nasctl.pareto.hypervolume_scale import Scale, fronts_at
from nasctl.pareto.losses import feasible_losses, front, violations
from nasctl.problem.searcher import Direction, Evaluation, Transform
from nasctl.problem.space import Genome
from nasctl.search.recorded_hypervolume import hypervolume_scale
from nasctl.store.run_record import RunRecord
from nasctl.store.store import RunSummary, Store
from nasctl.training.accuracies import TrainedNetworks, trained_networks

STEPS = 100  # points of the convergence curve


@dataclass(frozen=True)
class Series:
    """One quantity of all candidates.

    Args:
        name: Name, such as "latency@gpu".
        unit: Unit, such as "ms, batch 64".
        values: Values in natural units, (N,), NaN where there is none.
        role: "optimised", "recorded", "baseline" for sizes of the network, "trained" for results of trainings, or
            "order" for the order of evaluation.
        direction: Direction of better values, if the quantity was optimised.
        transform: Transform of the values that searchers see.
    """

    name: str
    unit: str
    values: np.ndarray
    role: str
    direction: Direction | None = None
    transform: Transform = "identity"


@dataclass(frozen=True)
class ReportSummary:
    """A run, and everything that its report derives from the run.

    Args:
        run: Name, record and start of the run.
        visited: Candidates of the run, in order, (N,).
        seconds: Total time of all measurements.
        sizes: Known sizes of candidates, as `stored_sizes` returns them; others are computed from the networks.
        trained: Trainings of candidates that compare with each other; None if there are none.
        advice: The recommended network; None for an empty front.
    """

    run: RunSummary
    visited: Sequence[Evaluation]
    seconds: float
    sizes: Sizes = field(default_factory=dict)
    trained: TrainedNetworks | None = None
    advice: Recommendation | None = None

    @property
    def record(self) -> RunRecord:
        """Return the record of the run."""
        return self.run.record

    @cached_property
    def ids(self) -> list[str]:
        """Return the ids of the candidates, (N,)."""
        genes = registry.create("spaces", self.record.space).genes
        return [ids.encode(self.record.space, genes, one.genome) for one in self.visited]

    @cached_property
    def rows(self) -> dict[Genome, int]:
        """Return the rows of the candidates by genome."""
        return {one.genome: k for k, one in enumerate(self.visited)}

    @cached_property
    def points(self) -> np.ndarray:
        """Return losses, (N, M), NaN in the rows of failed and infeasible candidates."""
        return feasible_losses(self.visited, self.record.goals, self.record.constraints)

    @cached_property
    def broken(self) -> np.ndarray:
        """Return True for candidates that are known to violate a constraint, (N,)."""
        names = {constraint.name for constraint in self.record.constraints}
        known = [not one.errors.keys() & names for one in self.visited]
        beyond = (violations(self.visited, self.record.constraints) > 0).any(axis=1)
        return np.logical_and(beyond, known)

    @cached_property
    def front(self) -> list[int]:
        """Return the rows of the non-dominated candidates, the best in the first objective first."""
        return [self.rows[one.genome] for one in front(self.visited, self.record.goals, self.record.constraints)]

    @cached_property
    def recommended(self) -> int | None:
        """Return the row of the recommended network, or None for an empty front."""
        return None if self.advice is None else self.rows[self.advice.chosen.genome]

    @property
    def why(self) -> str:
        """Return the reason of the recommendation, which follows the id in a sentence; "" without one."""
        return "" if self.advice is None else self.advice.why

    @property
    def reason(self) -> str:
        """Return the reason with the standing and the costs of the recommended network; "" without one."""
        return "" if self.advice is None else self.advice.reason

    @cached_property
    def reference_rows(self) -> dict[str, int]:
        """Return the rows of the published networks that the run visited, by name."""
        space = registry.create("spaces", self.record.space)
        return {name: self.rows[one.genome] for name, one in visited_references(space, self.visited).items()}

    @cached_property
    def marked_rows(self) -> dict[int, str]:
        """Return what names the candidates that pictures and tables mark, by row: the recommended one first."""
        names = {k: name for name, k in self.reference_rows.items()}
        if self.recommended is None:
            return names
        name = names.pop(self.recommended, "")
        return {self.recommended: f"recommended: {name}" if name else "recommended", **names}

    @cached_property
    def score(self) -> tuple[str, dict[int, float]]:
        """Return the name of the run's score and its values by row; the name is "" for a run without metrics."""
        head, scores = scores_of_run(self.record, self.visited, None, self.sizes) or ("", {})
        return head, {k: scores[one.genome] for k, one in enumerate(self.visited) if one.genome in scores}

    @cached_property
    def series(self) -> list[Series]:
        """Return everything measured, sizes as baselines, results of trainings, and the order of evaluation."""
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
        network = cache(space.network)
        for name, unit in (("params", "parameters"), ("macs", "MACs")):
            if name not in self.record.columns:
                known, genomes = self.sizes.get(name, {}), [one.genome for one in self.visited]
                values = [known[one] if one in known else getattr(network(one), name) for one in genomes]
                found.append(Series(name, unit, np.array(values, dtype=float), "baseline"))
        if self.trained and self.trained.finished:
            found.append(_trained_series(self.trained, self.visited))
        return [*found, Series("order of evaluation", "", np.arange(1.0, len(self.visited) + 1), "order")]

    @cached_property
    def correlations(self) -> dict[tuple[str, str], tuple[float, int]]:
        """Return Kendall's tau-b of every pair of series, and the number of feasible candidates that have both."""
        measured = [one for one in self.series if one.role != "order"]
        found = {}
        for one, other in combinations(measured, 2):
            both = np.isfinite(one.values) & np.isfinite(other.values) & ~self.broken
            tau = kendalltau(one.values[both], other.values[both]).statistic if both.sum() > 1 else np.nan
            found[one.name, other.name] = (float(tau), int(both.sum()))
        return found

    @cached_property
    def measured_on(self) -> tuple[Scale, str] | None:
        """Return the scale of the hypervolume and its description; None if no candidate has all objectives."""
        try:
            return hypervolume_scale(self.record, self.visited)
        except NasctlError:
            return None

    @cached_property
    def growth(self) -> list[tuple[int, float]]:
        """Return pairs of a number of evaluations and the hypervolume after them, as a share of the ideal box."""
        if self.measured_on is None:
            return []
        counts = checkpoints(len(self.visited), STEPS)
        shares = self.measured_on[0].shares(list(fronts_at(self.points, counts)))
        return list(zip(counts, shares, strict=True))


def summarize_run(store: Store, run: str | None = None) -> ReportSummary:
    """Return the summary of a run of a store.

    Args:
        store: The store.
        run: Name of the run, or a unique beginning; None for the run started last.

    Raises:
        NasctlError: The store has no such run.
    """
    name, record = store.run(run)
    (summary,) = (one for one in store.runs() if one.name == name)
    visits = list(store.visits(name))
    visited = [one for one, _ in visits]
    sizes = stored_sizes(store, name, record)
    trained = trained_networks(store, record.space, (one.genome for one in visited))
    seconds = sum(spent for _, spent in visits)
    return ReportSummary(summary, visited, seconds, sizes, trained, recommend(store, name, record, visited))


def _trained_series(trained: TrainedNetworks, visited: Sequence[Evaluation]) -> Series:
    """Return the results of trained candidates, accuracies in per cent."""
    share = trained.measure == "accuracy"
    values = np.array([trained.value(one.genome) for one in visited], dtype=float)  # None becomes NaN
    direction: Direction = "max" if share else "min"
    return Series(trained.name, "%" if share else "", values * (100 if share else 1), "trained", direction)

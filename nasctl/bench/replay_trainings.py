"""Trainings replayed on a table: which networks a policy trains, and how good the trained networks are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.stats import rankdata

from nasctl import registry
from nasctl.bench.benchmark import Benchmark, Scene, TabulatedObjective, TrainingTable
from nasctl.bench.problem import BenchmarkProblem
from nasctl.bench.replay import replay
from nasctl.pareto.hypervolume import hypervolume, pareto
from nasctl.prediction.acquisition import Rule, shortlist
from nasctl.prediction.feature_scale import GENES, METRICS
from nasctl.prediction.training_choice import VERSION, TrainingChoice, TrainingPlan
from nasctl.problem.searcher import Goal
from nasctl.problem.space import Genome

SEARCHER = "guided"  # searcher of the training-free search
FITTED, TRAINING_FREE = "fitted", "training-free"  # policies beside the searchers
BASELINE = "random"  # searcher that is in every comparison


@dataclass(frozen=True)
class TrainingReplay:
    """The trainings of one run.

    Args:
        places: Rows of the trained architectures in the table, in order, distinct, (T,).
        measured: Number of architectures whose metrics were measured.
        metric_seconds: Simulated seconds of the metrics.
        training_seconds: Simulated seconds of the trainings; NaN where the table has none.
    """

    places: np.ndarray
    measured: int
    metric_seconds: float
    training_seconds: float


@dataclass(frozen=True, slots=True)
class TrainedIndicators:
    """The quality of trained architectures.

    Args:
        best: Highest test accuracy of a trained architecture.
        chosen: Test accuracy of the architecture with the highest label, which a user would choose.
        hv: Hypervolume of test error and cost of the trained architectures, with the reference point (1.05, 1.05).
    """

    best: float
    chosen: float
    hv: float


def trained_indicators(table: TrainingTable, places: np.ndarray) -> TrainedIndicators:
    """Judge trained architectures.

    Args:
        table: The trainings.
        places: Rows of the trained architectures, (T,), at least one.
    """
    test: Scene = table.test
    return TrainedIndicators(
        float(test.accuracy[places].max()),
        float(test.accuracy[places[table.labels[places].argmax()]]),
        hypervolume(pareto(np.column_stack([test.error[places], test.cost[places]]))),
    )


def training_objectives(table: TrainingTable) -> list[TabulatedObjective]:
    """Return the objectives of a search that trains every network that it proposes: label and cost."""
    label = TabulatedObjective(Goal("label", "max", "identity", "module"), table.labels, table.seconds)
    return [label, TabulatedObjective(Goal("cost", "min", "identity", "network"), table.test.cost)]


class TrainingReplayer:
    """A replayer of trainings on one benchmark.

    Args:
        benchmark: The benchmark.
        objectives: Objectives of the training-free search, names of columns.
        trainings: Number of trainings of a run.
        measurements: Maximum number of architectures whose metrics a run measures.
        rule: Rule by which `FITTED` chooses; see `nasctl.prediction.acquisition`.
        version: Version of the choice of `FITTED`; see `nasctl.prediction.training_choice.VERSION`.
    """

    def __init__(
        self,
        benchmark: Benchmark,
        objectives: Sequence[str],
        trainings: int,
        measurements: int,
        rule: Rule = "ehvi",
        version: int = VERSION,
    ) -> None:
        self._benchmark, self._trainings, self._measurements, self._rule = benchmark, trainings, measurements, rule
        self._version = version
        self._objectives = tuple(objectives)
        self._problem = BenchmarkProblem(benchmark, objectives)
        self._searches: dict[tuple[int, int], np.ndarray] = {}

    def run(self, policy: str, table: TrainingTable, seed: int) -> TrainingReplay:
        """Replay one run.

        Args:
            policy: `FITTED`, `TRAINING_FREE`, or the spec of a searcher, each of whose proposals is trained.
            table: The trainings.
            seed: Seed of all randomness.
        """
        if policy == FITTED:
            return self._fitted(table, seed)
        if policy == TRAINING_FREE:
            return self._training_free(table, seed)
        problem = BenchmarkProblem(self._benchmark, training_objectives(table))
        found = replay(problem, policy, seed, self._trainings)
        return self._replayed(table, list(dict.fromkeys(found.places.tolist())), 0, 0.0)

    def _training_free(self, table: TrainingTable, seed: int) -> TrainingReplay:
        """Train a shortlist of the candidates of a training-free search that uses all measurements."""
        places = self._searched(seed, self._measurements)
        chosen = places[shortlist(self._score(places), table.test.cost[places], self._trainings)]
        seconds = float(self._problem.seconds[places].sum())
        return self._replayed(table, chosen.tolist(), len(places), seconds)

    def _fitted(self, table: TrainingTable, seed: int) -> TrainingReplay:
        """Train what `TrainingChoice` chooses."""
        plan = TrainingPlan(self._trainings, self._measurements, self._rule, seed=seed, version=self._version)
        cost, rows = table.test.cost, self._problem.rows
        choice = TrainingChoice(self._benchmark.space, self._groups, lambda genomes: cost[rows(genomes)][:, None], plan)
        places = self._searched(seed, plan.searched)
        choice.add(self._genomes(places), self._features[places], self._score(places))
        trained: list[int] = []
        while batch := choice.ask():
            trained += rows(batch)
            choice.tell(table.labels[rows(batch)])
            if fresh := choice.proposals():
                choice.add(fresh, self._features[rows(fresh)], np.full(len(fresh), np.nan))
                places = np.concatenate([places, rows(fresh)])
        return self._replayed(table, trained, choice.measured, float(self._metric_seconds[places].sum()))

    def _searched(self, seed: int, number: int) -> np.ndarray:
        """Return the rows that a training-free search measures, distinct."""
        if (seed, number) not in self._searches:  # the search is the same for every data set or task
            found = replay(self._problem, SEARCHER, seed, number)
            self._searches[seed, number] = np.array(list(dict.fromkeys(found.places.tolist())))
        return self._searches[seed, number]

    def _score(self, places: np.ndarray) -> np.ndarray:
        """Return the training-free score, (P,): the sum of log ranks of the objectives that need a module."""
        measured = [goal.cost == "module" for goal in self._problem.objectives]
        columns = self._problem.losses[places][:, measured if any(measured) else slice(None)]
        ranked = rankdata(-np.where(np.isfinite(columns), columns, np.inf), axis=0) / len(places)
        return np.asarray(np.log(ranked).sum(axis=1))

    def _genomes(self, places: np.ndarray) -> list[Genome]:
        return [self._benchmark.genomes[place] for place in places.tolist()]

    def _replayed(
        self, table: TrainingTable, places: Sequence[int], measured: int, metric_seconds: float
    ) -> TrainingReplay:
        rows = np.array(places, dtype=int)
        seconds = np.broadcast_to(np.asarray(table.seconds, dtype=float), table.labels.shape)
        return TrainingReplay(rows, measured, metric_seconds, float(seconds[rows].sum()))

    @cached_property
    def _columns(self) -> list[str]:
        """Names of the columns that are features: objectives of nasctl, without trainings and latencies."""
        known = {*registry.trusted("objectives"), *self._objectives}
        return [name for name in self._benchmark.names if name in known]

    @cached_property
    def _features(self) -> np.ndarray:
        """Features of all architectures, (N, F): metrics and costs, and one column per choice of each gene."""
        metrics = [self._benchmark.column(name).losses for name in self._columns]
        genomes = np.array(self._benchmark.genomes)
        sizes = [len(gene.choices) for gene in self._benchmark.space.genes]
        genes = [np.eye(size)[gene] for size, gene in zip(sizes, genomes.T, strict=True)]
        return np.concatenate([np.column_stack(metrics), *genes], axis=1)

    @cached_property
    def _groups(self) -> tuple[str, ...]:
        """Group of each feature, (F,)."""
        metrics = (METRICS,) * len(self._columns)
        return (*metrics, *(GENES,) * (self._features.shape[1] - len(metrics)))

    @cached_property
    def _metric_seconds(self) -> np.ndarray:
        """Simulated seconds of all metrics of an architecture, (N,)."""
        total = np.zeros(len(self._benchmark.genomes))
        for name in self._columns:
            total += self._benchmark.column(name).seconds
        return total

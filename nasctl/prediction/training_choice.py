"""The choice of networks to train, round by round: a shortlist first, then a search on a predictor of the labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from nasctl.errors import BadOption
from nasctl.prediction.acquisition import Candidates, Labelled, Rule, choose_batch, shortlist, stratified
from nasctl.prediction.trend_process import GENE_GRID, METRIC_GRID, TrendProcess, fit_trend_process
from nasctl.problem.space import Genome, SearchSpace

SEARCH_SHARE = 0.7  # share of the measurements that the training-free search makes before the first training
FIRST_SHARE = 4  # 1 of this many trainings is in the first round
ROUNDS = 8  # rounds that all trainings would make if the first one had the size of the others
MIN_FIRST, MIN_BATCH = 4, 2  # minimum number of trainings in the first round and in later rounds
PARENTS = 50  # known candidates that are parents of new ones in a round, besides all trained networks
CHILDREN = 20  # children bred per candidate to measure
BREEDING_ROUNDS = 5  # rounds of breeding, after which fewer new children have to do
SURROGATE_TREES = 30  # trees of the model that selects children before they are measured
RANDOM_SHARE = 2  # 1 of this many trainings of the first round is drawn at random, in place of the best score
# Version of the choice, of which a run is resumed by its own: 1 trusted the training-free score in the whole first
# round, and the metrics in every fit; 1 and 2 kept measurements for later rounds even if there were none.
VERSION = 3

Costs = Callable[[Sequence[Genome]], np.ndarray]  # canonical genomes, N -> costs to minimise, (N, D)


@dataclass(frozen=True)
class TrainingPlan:
    """The budget of a choice of trainings, and how it is spent.

    Args:
        trainings: Number of trainings.
        measurements: Number of networks whose metrics may be measured, those of the training-free search included.
        rule: Rule of `nasctl.prediction.acquisition`.
        accuracy_share: Share of the trainings after the first round that aim at the best label alone; the others aim at
            the hypervolume of label and costs.
        seed: Seed of all randomness.
        version: Version of the choice, from 1 to `VERSION`.
    """

    trainings: int
    measurements: int
    rule: Rule = "ehvi"
    accuracy_share: float = 0.5
    seed: int = 0
    version: int = VERSION

    def __post_init__(self) -> None:
        if self.trainings < 1 or not 0 <= self.accuracy_share <= 1:
            raise BadOption(
                f"Cannot plan {self.trainings} trainings with a share of {self.accuracy_share:g} for accuracy: a plan"
                " needs at least one training and a share from 0 to 1. Give other numbers."
            )

    @property
    def searched(self) -> int:
        """Return the number of networks that the training-free search measures before the first training.

        Without later rounds, which measure the rest, these are all.
        """
        if self.version > 2 and self.trainings <= self.first:
            return self.measurements
        return max(1, round(SEARCH_SHARE * self.measurements))

    @property
    def first(self) -> int:
        """Return the number of trainings in the first round."""
        return min(self.trainings, max(MIN_FIRST, self.trainings // FIRST_SHARE))

    @property
    def drawn(self) -> int:
        """Return the number of trainings in the first round that are drawn at random."""
        return 0 if self.version == 1 else self.first // RANDOM_SHARE

    @property
    def batch(self) -> int:
        """Return the number of trainings in a later round."""
        return max(MIN_BATCH, self.trainings // ROUNDS)


class TrainingChoice:
    """A chooser of the networks to train.

    First round: half of the trainings are a shortlist of the measured candidates, the best by a training-free score at
    each level of cost. The others are drawn at random at each level of cost, because the score may mislead: on some
    tasks, metrics order networks the wrong way round.

    Later rounds: a predictor is fitted to the labels so far, with or without the metrics, whichever is more likely
    given the labels. Candidates that it ranks best, and trained networks, are
    parents of new networks. Trees that imitate the predictor on genes and costs alone select the children that are
    worth measuring. The next trainings then maximise the expected improvement over all measured candidates; see
    `choose_batch`.

    The caller measures and trains::

        choice.add(genomes, features, score)            # candidates of a training-free search
        while batch := choice.ask():
            choice.tell(train(batch))
            if fresh := choice.proposals():
                choice.add(fresh, measure(fresh), score_of(fresh))

    All randomness is a function of the seed and the number of labels, so the same calls give the same choice.

    Args:
        space: The search space.
        groups: Group of each feature, (F,); see `nasctl.prediction.feature_scale`.
        costs: Function that returns the exact costs of networks; it takes no budget.
        plan: The budget.
        violation: Function that returns the constraint violation of networks, (N,); by default no constraint. A network
            that violates a constraint is neither proposed nor trained.
    """

    def __init__(
        self,
        space: SearchSpace,
        groups: Sequence[str],
        costs: Costs,
        plan: TrainingPlan,
        violation: Callable[[Sequence[Genome]], np.ndarray] | None = None,
    ) -> None:
        self._space, self._groups, self._cost_of, self._plan = space, tuple(groups), costs, plan
        self._violation = violation or (lambda genomes: np.zeros(len(genomes)))
        self._cardinalities = np.array([len(gene.choices) for gene in space.genes])  # (G,)
        self._rows: dict[Genome, int] = {}  # row of each measured candidate
        self._features = np.empty((0, len(self._groups)))  # (N, F)
        self._score = np.empty(0)  # (N,)
        self._costs = np.empty((0, 1))  # (N, D); NaN where a candidate violates a constraint
        self._asked: list[int] = []  # rows of the last ask
        self._trained: list[int] = []  # rows
        self._labels, self._errors = np.empty(0), np.empty(0)  # (T,)
        self._fitted: tuple[int, TrendProcess] | None = None  # number of labels and candidates at the fit, and the fit

    @property
    def measured(self) -> int:
        """Return the number of candidates that were added."""
        return len(self._rows)

    def add(self, genomes: Sequence[Genome], features: np.ndarray, score: np.ndarray) -> None:
        """Add measured candidates.

        Args:
            genomes: Canonical genomes, none of them added before, N of them.
            features: Features, (N, F), metrics as losses; not finite where a metric failed.
            score: Training-free score, (N,), higher is better; NaN if unknown. Only the first round, and rounds in
                which nothing can be fitted, read it.
        """
        if not genomes:
            return
        costs = np.where(self._violation(genomes)[:, None] > 0, np.nan, self._cost_of(genomes))
        self._costs = np.concatenate([self._costs, costs]) if self._rows else costs
        self._rows |= {genome: len(self._rows) + k for k, genome in enumerate(genomes)}
        self._features = np.concatenate([self._features, features])
        self._score = np.concatenate([self._score, score])

    def ask(self) -> list[Genome]:
        """Return the genomes to train next; an empty list if the budget is spent or no candidate is left."""
        size = min(self._plan.batch if self._trained else self._plan.first, self._plan.trainings - len(self._trained))
        free = np.setdiff1d(np.arange(self.measured), self._trained)
        free = free[np.isfinite(self._costs[free]).all(axis=1)]
        if (process := self._fit()) is None:
            chosen = self._first(free, size)
        else:
            known = np.isfinite(self._labels)
            mean, deviation = process.scores(self._features[free])
            candidates = Candidates(mean, deviation, self._costs[free], process.label_scale.to_labels)
            labelled = Labelled(self._labels[known], self._costs[np.array(self._trained)[known]])
            able = self._costs[np.isfinite(self._costs).all(axis=1)]
            share, done = self._plan.accuracy_share, len(self._trained)
            aims = [int((done + k + 1) * share) > int((done + k) * share) for k in range(size)]
            ends = able.min(axis=0), able.max(axis=0)
            chosen = np.array(choose_batch(candidates, labelled, ends, aims, self._plan.rule, self._rng(0)), dtype=int)
        self._asked = free[chosen].tolist()
        genomes = list(self._rows)
        return [genomes[row] for row in self._asked]

    def _first(self, free: np.ndarray, size: int) -> np.ndarray:
        """Return the places in `free`, (K,) rows, of candidates to train where no predictor can be fitted, (size,)."""
        score, costs = self._score[free], self._costs[free, 0]
        drawn = 0 if self._trained else self._plan.drawn
        best = shortlist(score, costs, size - drawn)
        left = np.setdiff1d(np.arange(len(free)), best)
        return np.concatenate([best, left[stratified(costs[left], min(drawn, size - len(best)), self._rng(2))]])

    def tell(self, labels: np.ndarray, errors: np.ndarray | None = None) -> None:
        """Learn the labels of the last ask.

        Args:
            labels: Labels, (B,), higher is better; NaN where a training failed. It is not tried again.
            errors: Standard errors of the labels, (B,); NaN where none is known.
        """
        self._trained += self._asked
        self._labels = np.concatenate([self._labels, labels])
        self._errors = np.concatenate([self._errors, np.full(len(labels), np.nan) if errors is None else errors])
        self._asked = []

    def proposals(self) -> list[Genome]:
        """Return new genomes that are worth measuring before the next ask, as far as the budget allows."""
        plan = self._plan
        rounds = -(-(plan.trainings - len(self._trained)) // plan.batch)
        number = (plan.measurements - self.measured) // rounds if rounds > 0 else 0
        if number <= 0 or (process := self._fit()) is None:
            return []
        rng = self._rng(1)
        able = np.flatnonzero(np.isfinite(self._costs).all(axis=1))
        predicted = process.scores(self._features[able])[0]
        best = able[_best_first(np.column_stack([-predicted, self._costs[able]]), PARENTS)]
        genomes = np.array(list(self._rows))
        children = self._breed(genomes[np.unique([*best, *self._trained])], CHILDREN * number, rng)
        if not children:
            return []
        costs = self._cost_of(children)
        imitated = self._imitate(process, able, children, costs)
        kept = _best_first(np.column_stack([-imitated, costs]), number)
        return [children[k] for k in kept.tolist()]

    def _rng(self, stream: int) -> np.random.Generator:
        return np.random.default_rng([self._plan.seed, len(self._trained), stream])

    def _fit(self) -> TrendProcess | None:
        """Return the predictor that is fitted to the labels so far; None if no two labels differ."""
        known = np.isfinite(self._labels)
        if known.sum() < 2 or np.ptp(self._labels[known]) == 0:
            return None
        state = len(self._trained) * (self._plan.measurements + 1) + self.measured
        if self._fitted is None or self._fitted[0] != state:
            rows = np.array(self._trained)[known]
            errors = self._errors[known]
            labels, grid = self._labels[known], METRIC_GRID if self._plan.version == 1 else METRIC_GRID + GENE_GRID
            features, groups = self._features[rows], self._groups
            self._fitted = state, fit_trend_process(features, labels, groups, self._features, errors, grid)
        return self._fitted[1]

    def _breed(self, parents: np.ndarray, number: int, rng: np.random.Generator) -> list[Genome]:
        """Return new feasible genomes: uniform crossover of two parents, and every gene redrawn with probability 1 / G.

        Args:
            parents: Genomes of parents, (P, G).
            number: Maximum number of genomes.
            rng: Source of all randomness.
        """
        length = len(self._cardinalities)
        found: dict[Genome, None] = {}
        for _ in range(BREEDING_ROUNDS):
            mothers, fathers = parents[rng.integers(len(parents), size=(2, number))]
            mixed = np.where(rng.random((number, length)) < 0.5, mothers, fathers)
            drawn = rng.integers(self._cardinalities, size=(number, length))
            children = np.where(rng.random((number, length)) < 1 / length, drawn, mixed)
            canonical = dict.fromkeys(self._space.canonical(child) for child in map(tuple, children.tolist()))
            fresh = [child for child in canonical if child not in self._rows and child not in found]
            held = self._violation(fresh) == 0
            found |= {child: None for child, holds in zip(fresh, held, strict=True) if holds}
            if len(found) >= number:
                break
        return list(found)[:number]

    def _imitate(
        self, process: TrendProcess, able: np.ndarray, genomes: Sequence[Genome], costs: np.ndarray
    ) -> np.ndarray:
        """Return what the predictor would say of unmeasured networks, (N,), by trees on genes and costs.

        The trees learn from the predictions for all measured candidates, of which there are many more than labels.
        """
        from sklearn.ensemble import ExtraTreesRegressor  # type: ignore[import-untyped]

        known = np.array(list(self._rows))[able]
        trees = ExtraTreesRegressor(
            SURROGATE_TREES, min_samples_leaf=2, max_features=0.5, random_state=self._plan.seed % (1 << 32)
        )
        trees.fit(self._genes_and_costs(known, self._costs[able]), process.scores(self._features[able])[0])
        return np.asarray(trees.predict(self._genes_and_costs(np.array(genomes), costs)))

    def _genes_and_costs(self, genomes: np.ndarray, costs: np.ndarray) -> np.ndarray:
        """Return one feature per choice of each gene, and the costs, (N, G) and (N, D) -> (N, F)."""
        genes = [np.eye(size)[gene] for size, gene in zip(self._cardinalities, genomes.T, strict=True)]
        return np.concatenate([*genes, costs], axis=1)


def _best_first(losses: np.ndarray, number: int) -> np.ndarray:
    """Return the rows of the best losses, (N, M), by non-dominated front, then by the first loss, (min(N, number),)."""
    import moocore

    left, found = np.arange(len(losses)), np.empty(0, dtype=int)
    while len(left) and len(found) < number:
        first = moocore.is_nondominated(losses[left], keep_weakly=True)
        found = np.concatenate([found, left[first][np.argsort(losses[left[first], 0], kind="stable")]])
        left = left[~first]
    return found[:number]

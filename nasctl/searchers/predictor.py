"""Search on surrogate models: models fitted to evaluations, and a genetic algorithm that proposes genomes on them.

References:
    Cummings, Sarah, Sridhar, Szankin, Munoz and Sundaresan, "A hardware-aware framework for accelerating neural
    architecture search across modalities" (DyNAS-T, its LINAS), arXiv:2205.10358; `search_tactic.py` of
    github.com/IntelLabs/DyNAS-T.
    Liu et al., "Progressive neural architecture search" (PNAS), ECCV 2018, arXiv:1712.00559, for ranking candidates by
    a model that is fitted again after every batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nasctl.api import BadOption, Genome, Problem, promising, unseen
from nasctl.searchers._mutation import redraw_genes
from nasctl.searchers._ranking import best_first, normal_scores, one_hot

__all__ = ["Predictor"]

INNER_POPULATION = 100  # population size of the search on the models
FOLDS = 5  # folds of the cross-validation that selects a model
SELECTION_GROWTH = 1.5  # factor by which the number of evaluations grows until the model is selected again
FAILURE_THRESHOLD = 0.5  # predicted failure rate above which a candidate counts as infeasible

Model = Callable[[np.ndarray], np.ndarray]  # (N, D) -> (N,)


class Predictor:
    """A searcher that fits surrogate models and evaluates the best genomes of a genetic algorithm on the models.

    Every objective that needs a module has its own model: ridge regression or a support vector machine on one-hot
    genes. Cross-validation on all evaluations selects the model. Arithmetic objectives and constraints are computed and
    never predicted. Once a genome has failed or violated a measured constraint, the rate of such failures is
    predicted too.

    Differences from LINAS: models predict ranks, because the search on the models uses only ranks. This search takes
    its parents from all evaluations. Genes are exchanged one by one and redrawn uniformly, because their choices need
    no order. The next batch is the best of all genomes that the search visited, by front and crowding distance, without
    genomes evaluated before. A few genomes of the batch are random.

    Args:
        problem: Search space, objectives and constraints.
        rng: Source of all randomness.
        population: Number of genomes per `ask`.
        random: Number of random genomes per `ask`.
        inner: Genomes that the search on the models breeds per `ask`.
    """

    def __init__(
        self,
        problem: Problem,
        rng: np.random.Generator,
        population: int = 10,
        random: int = 1,
        inner: int = 2000,
    ) -> None:
        if not 1 <= population <= 10_000 or not 0 <= random < population or inner < 1:
            raise BadOption(
                "population must be 1 to 10,000, random must be at least 0 and below population, and inner must be "
                f"at least 1, got population={population},random={random},inner={inner} (options of predictor)"
            )
        self._problem, self._space, self._rng = problem, problem.space, rng
        self._size, self._random, self._inner = population, random, inner
        self._cardinalities = np.array([len(gene.choices) for gene in problem.space.genes])  # (G,)
        self._exact = np.array([goal.cost == "network" for goal in problem.objectives])  # (M,)
        self._raw = np.empty((0, len(self._cardinalities)), dtype=int)  # raw genomes of all evaluations, (N, G)
        self._genomes: list[Genome] = []  # canonical genomes of all evaluations, (N,)
        self._losses = np.empty((0, len(self._exact)))  # (N, M)
        self._broken = np.empty(0)  # total violation, (N,)
        self._exact_violation = np.empty(0)  # part of the violation that needs no module, (N,)
        self._selected: dict[int, tuple[int, int]] = {}  # objective -> index of its model, rows at its selection

    def ask(self) -> list[Genome]:
        if not self._genomes:
            drawn = promising(self._problem, self._rng, self._size)
        else:
            drawn = self._search_on_models(self._size - self._random)
            seen = {*self._genomes, *map(self._space.canonical, drawn)}
            drawn += unseen(self._space, self._rng, self._size - len(drawn), seen)
        self._asked = drawn
        return [self._space.canonical(raw) for raw in drawn]

    def tell(self, losses: np.ndarray, violations: np.ndarray) -> None:
        asked = [self._space.canonical(raw) for raw in self._asked]
        self._genomes += asked
        self._raw = np.concatenate([self._raw, np.array(self._asked, dtype=int)])
        self._losses = np.concatenate([self._losses, losses])
        self._broken = np.concatenate([self._broken, violations.sum(axis=1)])
        self._exact_violation = np.concatenate([self._exact_violation, self._problem.violation(asked)])

    def _search_on_models(self, number: int) -> list[Genome]:
        """Return raw genomes that were not proposed before, the most promising first."""
        models = self._fit_models()
        found: dict[Genome, tuple[Genome, np.ndarray]] = {}  # canonical -> raw, and losses and violation, (M + 1,)
        parents = self._raw[best_first(self._losses, self._broken, INNER_POPULATION)]
        for _ in range(-(-self._inner // INNER_POPULATION)):
            pool = [tuple(raw) for raw in np.concatenate([parents, self._breed(parents)]).tolist()]
            canonical = {self._space.canonical(raw): raw for raw in pool}
            fresh = [genome for genome in canonical if genome not in found]
            rows = self._predict(models, fresh)
            found |= {genome: (canonical[genome], row) for genome, row in zip(fresh, rows, strict=True)}
            table = np.array([found[genome][1] for genome in canonical])
            kept = best_first(table[:, :-1], table[:, -1], INNER_POPULATION)
            parents = np.array(list(canonical.values()))[kept]
        known = set(self._genomes)
        new = [one for genome, one in found.items() if genome not in known]
        if not new:
            return []
        table = np.array([row for _, row in new])
        return [new[k][0] for k in best_first(table[:, :-1], table[:, -1], number).tolist()]

    def _breed(self, parents: np.ndarray) -> np.ndarray:
        """Return children of parents in descending order of quality, (N, G) -> (INNER_POPULATION, G).

        Each parent of a child is the better of two random ones.
        """
        count, genes = INNER_POPULATION, len(self._cardinalities)
        mothers, fathers = self._rng.integers(len(parents), size=(2, count, 2)).min(axis=2)
        mixed = np.where(self._rng.random((count, genes)) < 0.5, parents[mothers], parents[fathers])
        return redraw_genes(self._rng, mixed, self._cardinalities, 1 / genes)

    def _fit_models(self) -> dict[int, Model]:
        """Return a model for each objective that needs a module and, at key M, a model of failures if there are any."""
        genes = one_hot(self._genomes, self._cardinalities)  # (N, D)
        columns = np.concatenate([self._losses, self._failures()[:, None]], axis=1)
        models = {}
        for m in [*np.flatnonzero(~self._exact).tolist(), len(self._exact)]:
            known = np.isfinite(columns[:, m])
            values = columns[known, m]
            if len(np.unique(values)) > 1:
                targets = values if m == len(self._exact) else normal_scores(values)
                models[m] = self._fit_model(m, genes[known], targets)
        return models

    def _failures(self) -> np.ndarray:
        """Return 1 for failures and violated measured constraints, NaN for unmeasured genomes, otherwise 0, (N,)."""
        failed = np.isnan(self._losses).any(axis=1) | (self._broken > 0)
        return np.where(self._exact_violation > 0, np.nan, failed)

    def _fit_model(self, m: int, genes: np.ndarray, values: np.ndarray) -> Model:
        """Return a model of values, (N,), fitted on one-hot genes, (N, D).

        Args:
            m: Index of the objective, or M for failures.
            genes: One-hot genes, (N, D).
            values: Values to predict, (N,).
        """
        number, rows = self._selected.get(m, (0, 0))
        if len(values) >= max(2 * FOLDS, SELECTION_GROWTH * rows):
            folds = self._rng.permutation(len(values)) % FOLDS
            errors = [_cross_validation_error(kind, genes, values, folds) for kind in range(len(_model_candidates()))]
            number, _ = self._selected[m] = int(np.argmin(errors)), len(values)
        model: Model = _model_candidates()[number].fit(genes, values).predict
        return model

    def _predict(self, models: dict[int, Model], genomes: Sequence[Genome]) -> np.ndarray:
        """Return losses and, in the last column, the known and predicted constraint violation, (N, M + 1)."""
        table = np.zeros((len(genomes), len(self._exact) + 1))
        if not genomes:
            return table
        if self._exact.any():
            table[:, :-1] = np.where(self._exact, self._problem.cheap_losses(genomes), 0.0)
        genes = one_hot(genomes, self._cardinalities)
        for m, model in models.items():
            table[:, m] = model(genes)
        table[:, -1] = np.maximum(table[:, -1] - FAILURE_THRESHOLD, 0.0) + self._problem.violation(genomes)
        return table


def _model_candidates() -> list[Any]:
    """Return the models to select from. scikit-learn is imported here because the import takes a second."""
    from sklearn.linear_model import Ridge  # type: ignore[import-untyped]
    from sklearn.svm import SVR  # type: ignore[import-untyped]

    ridges = [Ridge(alpha=alpha) for alpha in (1.0, 10.0)]
    machines = [SVR(C=c, gamma=gamma, epsilon=0.05) for c in (1.0, 10.0) for gamma in (0.05, 0.2)]
    for one in machines:
        # Without it, `fit` draws a seed from numpy's global generator. No value depends on that seed.
        one.random_state = 0
    return [*ridges, *machines]


def _cross_validation_error(kind: int, genes: np.ndarray, values: np.ndarray, folds: np.ndarray) -> float:
    """Return the mean squared error of a model on held-out folds.

    Args:
        kind: Index of the model in `_model_candidates`.
        genes: One-hot genes, (N, D).
        values: Values to predict, (N,).
        folds: Fold of each row, (N,).
    """
    squares = 0.0
    for fold in range(FOLDS):
        out = folds == fold
        predicted = _model_candidates()[kind].fit(genes[~out], values[~out]).predict(genes[out])
        squares += float(((predicted - values[out]) ** 2).sum())
    return squares / len(values)

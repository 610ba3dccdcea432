"""Search on models: what was measured teaches models of the objectives, and a genetic search on these proposes more.

References:
    Cummings, Sarah, Sridhar, Szankin, Munoz and Sundaresan, "A hardware-aware framework for accelerating neural
    architecture search across modalities" (DyNAS-T, its LINAS), arXiv:2205.10358; `search_tactic.py` of
    github.com/IntelLabs/DyNAS-T.
    Liu et al., "Progressive neural architecture search" (PNAS), ECCV 2018, arXiv:1712.00559, for the ranking of
    candidates by a model that is fitted anew after every batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nasctl.api import BadOption, Genome, Problem, promising, unseen
from nasctl.searchers._ranking import best_first, normal_scores, one_hot

__all__ = ["Predictor"]

PARENTS = 100  # of the search on the models
FOLDS = 5  # of the cross-validation that chooses a model
GROWTH = 1.5  # factor by which the measured have to grow until the choice is made anew
DOUBT = 0.5  # predicted share of failures from which a candidate counts as one that breaks a constraint

Model = Callable[[np.ndarray], np.ndarray]  # (N, D) -> (N,)


class Predictor:
    """Measures a few genomes, fits models, and measures next what a genetic search on the models finds best.

    An objective that needs a module has a model of its own, ridge regression or a support vector machine on one-hot
    genes, whichever does better in cross-validation on all that was measured. Arithmetic objectives and constraints are
    computed and never predicted. Whether a candidate fails, or breaks a constraint that was measured, is predicted too
    as soon as one did.

    Departures from LINAS: models predict ranks, which is all that the search on them looks at; it draws its parents
    from all that was measured; genes, whose choices need no order, are exchanged one by one and redrawn uniformly; the
    next batch is the first of all that was looked at by front and crowding, without what was measured before, and a
    few of it are random.

    Args:
        problem: Where to search, and for what.
        rng: Source of all randomness.
        population: Genomes in one ask.
        random: How many of them are random.
        inner: Genomes that the search on the models breeds for each ask.
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
                "predictor needs a population of 1 to 10,000, fewer random ones, and an inner search of 1 or more, not "
                f"{population=}, {random=}, {inner=}"
            )
        self._problem, self._space, self._rng = problem, problem.space, rng
        self._size, self._random, self._inner = population, random, inner
        self._cardinalities = np.array([len(gene.choices) for gene in problem.space.genes])  # (G,)
        self._priced = np.array([goal.cost == "network" for goal in problem.objectives])  # (M,)
        self._raw = np.empty((0, len(self._cardinalities)), dtype=int)  # as they were bred, (N, G)
        self._genomes: list[Genome] = []  # the same, canonical
        self._losses = np.empty((0, len(self._priced)))  # (N, M)
        self._broken = np.empty(0)  # total violation, (N,)
        self._excess = np.empty(0)  # the part of it that is known without measuring, (N,)
        self._chosen: dict[int, tuple[int, int]] = {}  # by objective: the number of its model, and of rows it saw

    def ask(self) -> list[Genome]:
        if not self._genomes:
            drawn = promising(self._problem, self._rng, self._size)
        else:
            drawn = self._searched(self._size - self._random)
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
        self._excess = np.concatenate([self._excess, self._problem.violation(asked)])

    def _searched(self, number: int) -> list[Genome]:
        """Raw genomes that were not asked for, the most promising first."""
        models = self._fitted()
        found: dict[Genome, tuple[Genome, np.ndarray]] = {}  # canonical -> raw, and its losses and excess, (M + 1,)
        parents = self._raw[best_first(self._losses, self._broken, PARENTS)]
        for _ in range(-(-self._inner // PARENTS)):
            pool = [tuple(raw) for raw in np.concatenate([parents, self._bred(parents)]).tolist()]
            canonical = {self._space.canonical(raw): raw for raw in pool}
            fresh = [genome for genome in canonical if genome not in found]
            rows = self._predicted(models, fresh)
            found |= {genome: (canonical[genome], row) for genome, row in zip(fresh, rows, strict=True)}
            table = np.array([found[genome][1] for genome in canonical])
            kept = best_first(table[:, :-1], table[:, -1], PARENTS)
            parents = np.array(list(canonical.values()))[kept]
        known = set(self._genomes)
        new = [one for genome, one in found.items() if genome not in known]
        if not new:
            return []
        table = np.array([row for _, row in new])
        return [new[k][0] for k in best_first(table[:, :-1], table[:, -1], number).tolist()]

    def _bred(self, parents: np.ndarray) -> np.ndarray:
        """Children of the better of two parents each, which come in order, (N, G) -> (PARENTS, G)."""
        count, genes = PARENTS, len(self._cardinalities)
        mothers, fathers = self._rng.integers(len(parents), size=(2, count, 2)).min(axis=2)
        mixed = np.where(self._rng.random((count, genes)) < 0.5, parents[mothers], parents[fathers])
        redrawn = (self._rng.random(mixed.shape) < 1 / genes) & (self._cardinalities > 1)
        step = self._rng.integers(1, np.maximum(self._cardinalities, 2), size=mixed.shape)
        children: np.ndarray = np.where(redrawn, (mixed + step) % self._cardinalities, mixed)
        return children

    def _fitted(self) -> dict[int, Model]:
        """A model for each objective that has to be measured, and at M one for failures, if there are any."""
        genes = one_hot(self._genomes, self._cardinalities)  # (N, D)
        columns = np.concatenate([self._losses, self._failures()[:, None]], axis=1)
        models = {}
        for m in [*np.flatnonzero(~self._priced).tolist(), len(self._priced)]:
            known = np.isfinite(columns[:, m])
            values = columns[known, m]
            if len(np.unique(values)) > 1:
                targets = values if m == len(self._priced) else normal_scores(values)
                models[m] = self._model(m, genes[known], targets)
        return models

    def _failures(self) -> np.ndarray:
        """1 for what failed or broke a measured constraint, NaN for what was not measured, else 0, (N,)."""
        failed = np.isnan(self._losses).any(axis=1) | (self._broken > 0)
        return np.where(self._excess > 0, np.nan, failed)

    def _model(self, m: int, genes: np.ndarray, values: np.ndarray) -> Model:
        """A model of values, (N,), fitted on one-hot genes, (N, D)."""
        number, rows = self._chosen.get(m, (0, 0))
        if len(values) >= max(2 * FOLDS, GROWTH * rows):
            folds = self._rng.permutation(len(values)) % FOLDS
            errors = [_error(kind, genes, values, folds) for kind in range(len(_kinds()))]
            number, _ = self._chosen[m] = int(np.argmin(errors)), len(values)
        model: Model = _kinds()[number].fit(genes, values).predict
        return model

    def _predicted(self, models: dict[int, Model], genomes: Sequence[Genome]) -> np.ndarray:
        """Losses and, in the last column, by how much constraints are broken, known or feared, (N, M + 1)."""
        table = np.zeros((len(genomes), len(self._priced) + 1))
        if not genomes:
            return table
        if self._priced.any():
            table[:, :-1] = np.where(self._priced, self._problem.cheap_losses(genomes), 0.0)
        genes = one_hot(genomes, self._cardinalities)
        for m, model in models.items():
            table[:, m] = model(genes)
        table[:, -1] = np.maximum(table[:, -1] - DOUBT, 0.0) + self._problem.violation(genomes)
        return table


def _kinds() -> list[Any]:
    """The models to choose from; scikit-learn is imported here because that takes a second."""
    from sklearn.linear_model import Ridge  # type: ignore[import-untyped]
    from sklearn.svm import SVR  # type: ignore[import-untyped]

    ridges = [Ridge(alpha=alpha) for alpha in (1.0, 10.0)]
    return [*ridges, *(SVR(C=c, gamma=gamma, epsilon=0.05) for c in (1.0, 10.0) for gamma in (0.05, 0.2))]


def _error(kind: int, genes: np.ndarray, values: np.ndarray, folds: np.ndarray) -> float:
    """Mean squared error of a model on folds that it did not see."""
    squares = 0.0
    for fold in range(FOLDS):
        out = folds == fold
        predicted = _kinds()[kind].fit(genes[~out], values[~out]).predict(genes[out])
        squares += float(((predicted - values[out]) ** 2).sum())
    return squares / len(values)

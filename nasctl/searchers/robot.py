"""RoBoT: Bayesian optimisation of the weights of several metrics, then greedy evaluation by the best weights.

References:
    He, Shu, Dai and Low, "Robustifying and boosting training-free neural architecture search", ICLR 2024,
    arXiv:2403.07591; `search_nb201.py` of github.com/hzf1174/RoBoT.
"""

from __future__ import annotations

import numpy as np

from nasctl.api import BadOption, Genome, Problem
from nasctl.searchers._gaussian_process import (
    CANDIDATE_POINTS,
    GaussianProcess,
    best_by_upper_confidence_bound,
    replace_failures,
)
from nasctl.searchers._pool import Pool

__all__ = ["RoBoT"]


class RoBoT:
    """A searcher for the weighted sum of metrics that ranks the truly best architecture of a scored pool first.

    Each query evaluates the architecture that one weight vector ranks first. Many vectors rank the same architecture
    first, which costs nothing after the first evaluation. The remaining evaluations follow the order of the best
    vector. The observation of an architecture is its first objective, for example accuracy after a short training.
    Other objectives are measured but do not steer the search. A failed or infeasible architecture counts as the worst
    observation.

    Differences from the paper: the Gaussian process is nasctl's own, and its upper confidence bound is wider than in
    the library bayes_opt, which the authors use. Metrics are scaled over the pool, which in a large space is a sample.
    The greedy phase lasts as long as the budget, while the authors' ends after as many evaluations as there were
    queries.

    Args:
        problem: Search space, objectives and constraints.
        rng: Source of all randomness.
        queries: Number of weight vectors to try.
        pool: Table written by `nasctl objective score`, or name of a table that nasctl ships; default: the table of the
            space.
        metrics: Columns of the table to weight. Their signs need not be known.
    """

    needs = frozenset({"pool"})

    def __init__(
        self,
        problem: Problem,
        rng: np.random.Generator,
        queries: int = 20,
        pool: str = "",
        metrics: tuple[str, ...] = ("grad_norm", "snip", "grasp", "fisher", "synflow", "jacov"),
    ) -> None:
        if not 1 <= queries <= 1000:
            raise BadOption(f"queries must be 1 to 1,000, got {queries} (option of robot)")
        self._pool, self._rng, self._queries = Pool(problem, pool, metrics), rng, queries
        self._scaled = min_max_scaled(self._pool.scores)  # (P, K)
        self._weights: list[np.ndarray] = []  # weight vectors tried so far, (K,) each
        self._picks: list[int] = []  # position in the pool that each weight vector ranks first
        self._known: dict[int, float] = {}  # position in the pool -> observation, higher is better; NaN if failed

    def ask(self) -> list[Genome]:
        while len(self._weights) < self._queries:
            weights = self._next_weights()
            pick = int(self._order(weights)[0])
            self._weights.append(weights)
            self._picks.append(pick)
            if pick not in self._known:
                return self._propose(pick)
        best = self._weights[int(self._observed().argmax())]
        left = [place for place in self._order(best).tolist() if place not in self._known]
        return self._propose(left[0]) if left else []

    def tell(self, losses: np.ndarray, violations: np.ndarray) -> None:
        failed = bool(violations.sum() > 0)
        self._known[self._asked] = np.nan if failed else -float(losses[0, 0])

    def _propose(self, place: int) -> list[Genome]:
        self._asked = place
        return [self._pool.genomes[place]]

    def _next_weights(self) -> np.ndarray:
        """Return the weights to try next, (K,)."""
        drawn = self._rng.random((CANDIDATE_POINTS, self._scaled.shape[1]))  # unit cube, mapped to weights from -1 to 1
        if not self._weights:
            return np.asarray(2 * drawn[0] - 1)
        model = GaussianProcess((np.array(self._weights) + 1) / 2, self._observed())
        return 2 * best_by_upper_confidence_bound(model, drawn) - 1

    def _order(self, weights: np.ndarray) -> np.ndarray:
        """Return positions in the pool in descending order of the weighted sum, (P,)."""
        return self._pool.best_first(self._scaled @ weights)

    def _observed(self) -> np.ndarray:
        """Return the observation of each weight vector, (queries,), with failures replaced by the worst value."""
        return replace_failures(np.array([self._known[pick] for pick in self._picks]))


def min_max_scaled(scores: np.ndarray) -> np.ndarray:
    """Return each metric scaled to 0 for its minimum and 1 for its maximum, (P, K). A failed metric contributes 0."""
    low, high = np.nanmin(scores, axis=0), np.nanmax(scores, axis=0)
    return np.asarray(np.nan_to_num((scores - low) / np.where(high > low, high - low, 1.0)))

"""RoBoT: Bayesian optimisation of the weights of several metrics, then a walk down the order that the best give.

References:
    He, Shu, Dai and Low, "Robustifying and boosting training-free neural architecture search", ICLR 2024,
    arXiv:2403.07591; `search_nb201.py` of github.com/hzf1174/RoBoT.
"""

from __future__ import annotations

import numpy as np

from nasctl.api import BadOption, Genome, Problem
from nasctl.searchers._gaussian_process import DRAWN, GaussianProcess, best_by_upper_bound, filled
from nasctl.searchers._pool import Pool

__all__ = ["RoBoT"]


class RoBoT:
    """Searches for the weighted sum of metrics whose best architecture is truly the best, in a pool of scored ones.

    Each query evaluates the architecture that one vector of weights prefers. Many vectors prefer the same one, which
    costs nothing the second time; evaluations that are left over go down the order of the best vector. What is
    observed, such as the accuracy after a short training, is the first objective; others are measured and steer
    nothing. An architecture that failed, or breaks a constraint, counts as the worst that was seen.

    Departures: the Gaussian process is our own, bolder in its upper confidence bound than that of the library
    bayes_opt, which the authors use; metrics are scaled over the pool, which in a large space is a sample of it; the
    walk goes on as long as the budget does, where theirs ends after as many evaluations as there were queries.

    Args:
        problem: Where to search, and for what.
        rng: Source of all randomness.
        queries: Vectors of weights that are tried.
        pool: A table that `nasctl objective score` wrote, or the name of one that nasctl ships; by default the space's.
        metrics: Its columns that are weighed; their signs need not be known.
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
            raise BadOption(f"robot tries 1 to 1,000 vectors of weights, not queries={queries}")
        self._pool, self._rng, self._queries = Pool(problem, pool, metrics), rng, queries
        self._scaled = scaled(self._pool.scores)  # (P, K)
        self._weights: list[np.ndarray] = []  # vectors that were tried, (K,) each
        self._picks: list[int] = []  # the place in the pool that each of them preferred
        self._known: dict[int, float] = {}  # what was observed by place, higher is better; NaN where it failed

    def ask(self) -> list[Genome]:
        while len(self._weights) < self._queries:
            weights = self._next()
            pick = int(self._ordered(weights)[0])
            self._weights.append(weights)
            self._picks.append(pick)
            if pick not in self._known:
                return self._asking(pick)
        best = self._weights[int(self._observed().argmax())]
        left = [place for place in self._ordered(best).tolist() if place not in self._known]
        return self._asking(left[0]) if left else []

    def tell(self, losses: np.ndarray, violations: np.ndarray) -> None:
        failed = bool(violations.sum() > 0)
        self._known[self._asked] = np.nan if failed else -float(losses[0, 0])

    def _asking(self, place: int) -> list[Genome]:
        self._asked = place
        return [self._pool.genomes[place]]

    def _next(self) -> np.ndarray:
        """The weights to try next, (K,)."""
        drawn = self._rng.random((DRAWN, self._scaled.shape[1]))  # of the unit cube, which stands for -1 to 1
        if not self._weights:
            return np.asarray(2 * drawn[0] - 1)
        model = GaussianProcess((np.array(self._weights) + 1) / 2, self._observed())
        best: np.ndarray = 2 * best_by_upper_bound(model, drawn) - 1
        return best

    def _ordered(self, weights: np.ndarray) -> np.ndarray:
        """Places in the pool, the highest weighted sum first, (P,)."""
        order: np.ndarray = self._pool.best_first(self._scaled @ weights)
        return order

    def _observed(self) -> np.ndarray:
        """What was seen with each vector of weights, (queries,)."""
        return filled(np.array([self._known[pick] for pick in self._picks]))


def scaled(scores: np.ndarray) -> np.ndarray:
    """Each metric from 0 for its least value to 1 for its largest, (P, K); one that failed contributes 0."""
    low, high = np.nanmin(scores, axis=0), np.nanmax(scores, axis=0)
    return np.asarray(np.nan_to_num((scores - low) / np.where(high > low, high - low, 1.0)))

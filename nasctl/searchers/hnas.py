"""HNAS: Bayesian optimisation of the two unknowns of a bound on the generalisation error.

References:
    Shu, Dai, Wu and Low, "Unifying and boosting gradient-based training-free neural architecture search", NeurIPS 2022,
    arXiv:2201.09785, section 6 and algorithm 1; github.com/shuyao95/HNAS.
"""

from __future__ import annotations

import numpy as np

from nasctl.api import BadOption, Genome, Problem
from nasctl.searchers._gaussian_process import DRAWN, GaussianProcess, best_by_expectation, filled
from nasctl.searchers._pool import Pool

__all__ = ["HNAS"]

PROBES = 0.25  # share of the queries that are spread evenly before the model takes over
EPS = 1e-6  # added to M, as the authors do


class HNAS:
    """Picks from a pool of scored architectures the one with the smallest mu |M^2 - M*^2| + kappa / M.

    M is the root of the mean trace of the neural tangent kernel, kappa its condition number. The penalty mu and the
    wanted M* are what Bayesian optimisation learns from the architectures that they pick: the expected improvement over
    what was observed. That, such as the accuracy after a short training, is the first objective; others are measured
    and steer nothing. An architecture that failed, or breaks a constraint, counts as the worst that was seen.

    Departures: the Gaussian process is our own; after the queries the search goes down the order of the best pair as
    long as the budget does.

    Args:
        problem: Where to search, and for what.
        rng: Source of all randomness.
        queries: Pairs (M*, mu) that are tried.
        draws: Architectures of the pool that each query adds, with replacement, to those that it picks from.
        scale: The largest M* that is tried; 5,000 is the authors' on NAS-Bench-201, 100 theirs on DARTS.
        pool: A table that `nasctl objective score` wrote, or the name of one that nasctl ships; by default the space's.
        metrics: Its columns that hold kappa and M.
    """

    needs = frozenset({"pool"})

    def __init__(
        self,
        problem: Problem,
        rng: np.random.Generator,
        queries: int = 20,
        draws: int = 2000,
        scale: float = 5000.0,
        pool: str = "",
        metrics: tuple[str, ...] = ("ntk_cond", "ntk_trace"),
    ) -> None:
        if not 1 <= queries <= 1000 or not 1 <= draws <= 1_000_000 or scale <= 0:
            raise BadOption(
                f"hnas takes 1 to 1,000 queries, 1 or more draws and a scale above 0, not {queries=}, {draws=}, "
                f"{scale=}"
            )
        if len(metrics) != 2:
            raise BadOption(f"hnas needs two columns, of kappa and of M, not metrics={','.join(metrics)}")
        self._pool, self._rng, self._queries, self._draws = Pool(problem, pool, metrics), rng, queries, draws
        self._scale = scale
        self._drawn = np.zeros(len(self._pool.genomes), dtype=bool)  # (P,)
        self._tried: list[np.ndarray] = []  # (2,) each: M* and log10 mu, as shares of their ranges
        self._picked: list[int] = []  # places in the pool
        self._seen: list[float] = []  # what was observed of them, higher is better; NaN where it failed

    def ask(self) -> list[Genome]:
        exploring = len(self._tried) < self._queries
        if exploring:
            self._drawn[self._rng.integers(len(self._drawn), size=self._draws)] = True
            pair = self._next()
        else:
            self._drawn[:] = True
            pair = self._tried[int(self._observed().argmax())]
        order = self._pool.best_first(-self.bound(pair))
        left = order[~np.isin(order, self._picked)]
        if not len(left):
            return []
        if exploring:
            self._tried.append(pair)
        among = left[self._drawn[left]]
        self._picked.append(int(among[0] if len(among) else left[0]))
        return [self._pool.genomes[self._picked[-1]]]

    def tell(self, losses: np.ndarray, violations: np.ndarray) -> None:
        self._seen.append(np.nan if violations.sum() > 0 else -float(losses[0, 0]))

    def bound(self, pair: np.ndarray) -> np.ndarray:
        """What is minimised, (P,), infinite where a metric failed.

        Args:
            pair: M* as a share of the scale, and log10 mu as a share of -4 to 0, (2,).
        """
        kappa, m = self._pool.scores.T
        wanted, penalty = pair[0] * self._scale, 10.0 ** (4 * pair[1] - 4)
        found = penalty * np.abs(m**2 - wanted**2) + kappa / (m + EPS)
        return np.where(np.isnan(found), np.inf, found)

    def _next(self) -> np.ndarray:
        """The pair to try next, (2,): first probes with a penalty of .01, spread over the wanted M."""
        probes = max(1, round(PROBES * self._queries))
        if len(self._tried) < probes:
            return np.array([len(self._tried) / max(1, probes - 1), 0.5])
        observed = self._observed()
        model = GaussianProcess(np.array(self._tried), observed)
        return best_by_expectation(model, self._rng.random((DRAWN, 2)), float(observed.max()))

    def _observed(self) -> np.ndarray:
        """What was seen with each pair, (tried,)."""
        return filled(np.array(self._seen[: len(self._tried)]))

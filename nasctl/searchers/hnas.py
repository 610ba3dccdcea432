"""HNAS: Bayesian optimisation of the two unknowns of a bound on the generalisation error.

References:
    Shu, Dai, Wu and Low, "Unifying and boosting gradient-based training-free neural architecture search", NeurIPS 2022,
    arXiv:2201.09785, section 6 and algorithm 1; github.com/shuyao95/HNAS.
"""

from __future__ import annotations

import numpy as np

from nasctl.api import BadOption, Genome, Problem
from nasctl.searchers._gaussian_process import (
    CANDIDATE_POINTS,
    GaussianProcess,
    best_by_expected_improvement,
    replace_failures,
)
from nasctl.searchers._pool import Pool

__all__ = ["HNAS"]

PROBE_SHARE = 0.25  # share of the queries that are spread evenly before Bayesian optimisation starts
TRACE_OFFSET = 1e-6  # added to M before dividing by it, as in the authors' code


class HNAS:
    """A searcher that picks architectures from a scored pool by minimising mu |M^2 - M*^2| + kappa / M.

    M is the square root of the mean trace of the neural tangent kernel, and kappa is its condition number. Bayesian
    optimisation chooses the penalty mu and the target M* by their expected improvement over the observations. The
    observation of a pair is the first objective of the architecture that the pair picks, for example accuracy after a
    short training. Other objectives are measured but do not steer the search. A failed or infeasible architecture
    counts as the worst observation.

    Differences from the paper: the Gaussian process is nasctl's own. After the queries, the search continues down the
    order of the best pair until the budget ends.

    Args:
        problem: Search space, objectives and constraints.
        rng: Source of all randomness.
        queries: Number of pairs (M*, mu) to try.
        draws: Architectures drawn from the pool with replacement in each query, which become available for picking.
        scale: Largest M* to try. The authors use 5,000 on NAS-Bench-201 and 100 on DARTS.
        pool: Table written by `nasctl objective score`, or name of a table that nasctl ships; default: the table of the
            space.
        metrics: Columns of the table that hold kappa and M.
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
                "queries must be 1 to 1,000, draws must be 1 to 1,000,000 and scale must be above 0, "
                f"got queries={queries},draws={draws},scale={scale} (options of hnas)"
            )
        if len(metrics) != 2:
            raise BadOption(f"metrics must be two columns, kappa and M, got {','.join(metrics)} (option of hnas)")
        self._pool, self._rng, self._queries, self._draws = Pool(problem, pool, metrics), rng, queries, draws
        self._scale = scale
        self._drawn = np.zeros(len(self._pool.genomes), dtype=bool)  # (P,)
        self._tried: list[np.ndarray] = []  # pairs (M*, log10 mu), (2,) each, as shares of their ranges
        self._picked: list[int] = []  # positions of the picked architectures in the pool
        self._observations: list[float] = []  # observations of the picks, higher is better; NaN if failed

    def ask(self) -> list[Genome]:
        exploring = len(self._tried) < self._queries
        if exploring:
            self._drawn[self._rng.integers(len(self._drawn), size=self._draws)] = True
            pair = self._next_pair()
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
        self._observations.append(np.nan if violations.sum() > 0 else -float(losses[0, 0]))

    def bound(self, pair: np.ndarray) -> np.ndarray:
        """Return the bound to minimise, (P,), infinite where a metric failed.

        Args:
            pair: M* as a share of the scale, and log10 mu as a share of the range -4 to 0, (2,).
        """
        kappa, m = self._pool.scores.T
        wanted, penalty = pair[0] * self._scale, 10.0 ** (4 * pair[1] - 4)
        found = penalty * np.abs(m**2 - wanted**2) + kappa / (m + TRACE_OFFSET)
        return np.where(np.isnan(found), np.inf, found)

    def _next_pair(self) -> np.ndarray:
        """Return the next pair to try, (2,). The first probes have penalty 0.01 and an M* spread over its range."""
        probes = max(1, round(PROBE_SHARE * self._queries))
        if len(self._tried) < probes:
            return np.array([len(self._tried) / max(1, probes - 1), 0.5])
        observed = self._observed()
        model = GaussianProcess(np.array(self._tried), observed)
        return best_by_expected_improvement(model, self._rng.random((CANDIDATE_POINTS, 2)), float(observed.max()))

    def _observed(self) -> np.ndarray:
        """Return the observation of each pair, (tried,), with failures replaced by the worst value."""
        return replace_failures(np.array(self._observations[: len(self._tried)]))

"""A small Gaussian process, and the rules by which Bayesian optimisation picks its next point."""

from __future__ import annotations

import math

import numpy as np

SCALE = 0.5  # length over which values are alike; with a shorter one a few points say nothing about the rest
NOISE = 1e-4  # variance of an observation, in units of that of all
DRAWN = 2000  # points that the next one is the best of
BOLDNESS = 5.0  # standard deviations above the mean; with 2.576 a search in 50 stays where nothing is good
erf = np.vectorize(math.erf, otypes=[float])


class GaussianProcess:
    """A posterior over functions on the unit cube: Matérn kernel of order 5/2, values scaled to variance 1.

    References:
        Rasmussen & Williams, "Gaussian processes for machine learning", MIT Press 2006, algorithm 2.1, equation 4.17.

    Args:
        points: Where it was observed, (N, D).
        values: What was seen there, (N,), finite.
    """

    def __init__(self, points: np.ndarray, values: np.ndarray) -> None:
        self._points, self._mean, self._spread = points, float(values.mean()), float(values.std()) or 1.0
        self._factor = np.linalg.cholesky(_matern(points, points) + NOISE * np.eye(len(points)))  # (N, N)
        self._explained = np.linalg.solve(self._factor, (values - self._mean) / self._spread)  # (N,)

    def __call__(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the function at points, (Q, D) -> (Q,), (Q,)."""
        across = np.linalg.solve(self._factor, _matern(self._points, points))  # (N, Q)
        variance = np.maximum(1.0 - (across**2).sum(axis=0), 1e-12)
        return self._mean + self._spread * (self._explained @ across), self._spread * np.sqrt(variance)


def best_by_upper_bound(model: GaussianProcess, points: np.ndarray) -> np.ndarray:
    """The one of some points with the highest mean plus BOLDNESS standard deviations, (Q, D) -> (D,).

    References:
        Srinivas et al., "Gaussian process optimization in the bandit setting: No regret and experimental design",
        ICML 2010, arXiv:0912.3995, equation 6.
    """
    mean, deviation = model(points)
    return np.asarray(points[(mean + BOLDNESS * deviation).argmax()])


def best_by_expectation(model: GaussianProcess, points: np.ndarray, best: float) -> np.ndarray:
    """The one of some points from which the largest gain over the best value so far is expected, (Q, D) -> (D,).

    References:
        Jones, Schonlau and Welch, "Efficient global optimization of expensive black-box functions", Journal of Global
        Optimization 13 (1998) 455-492, equation 15.
    """
    mean, deviation = model(points)
    lead = (mean - best) / deviation
    density = np.exp(-(lead**2) / 2) / math.sqrt(2 * math.pi)
    gain = deviation * (lead * (1 + erf(lead / math.sqrt(2))) / 2 + density)
    return np.asarray(points[gain.argmax()])


def filled(observed: np.ndarray) -> np.ndarray:
    """Observations, (N,), with the worst in place of those that failed; zeros if all did."""
    known = observed[~np.isnan(observed)]
    return np.where(np.isnan(observed), known.min() if len(known) else 0.0, observed)


def _matern(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The kernel between points, (N, D) and (Q, D) -> (N, Q)."""
    distance = math.sqrt(5) / SCALE * np.linalg.norm(one[:, None] - other, axis=2)
    return np.asarray((1 + distance + distance**2 / 3) * np.exp(-distance))

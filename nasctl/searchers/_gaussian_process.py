"""A small Gaussian process, and the acquisition functions of Bayesian optimisation."""

from __future__ import annotations

import math

import numpy as np

LENGTH_SCALE = 0.5  # kernel length scale on the unit cube; if it is shorter, a few points do not predict the rest
NOISE_VARIANCE = 1e-4  # variance of the observation noise, as a share of the variance of the observations
CANDIDATE_POINTS = 2000  # random points that an acquisition function is maximised over
CONFIDENCE_WIDTH = 5.0  # standard deviations added to the mean; with 2.576, 1 search in 50 stays in a bad region
erf = np.vectorize(math.erf, otypes=[float])


class GaussianProcess:
    """A Gaussian-process posterior on the unit cube: Matérn kernel of order 5/2, values scaled to variance 1.

    References:
        Rasmussen & Williams, "Gaussian processes for machine learning", MIT Press 2006, algorithm 2.1, equation 4.17.

    Args:
        points: Observed points, (N, D).
        values: Observed values, (N,), finite.
    """

    def __init__(self, points: np.ndarray, values: np.ndarray) -> None:
        self._points, self._mean, self._spread = points, float(values.mean()), float(values.std()) or 1.0
        self._factor = np.linalg.cholesky(_matern(points, points) + NOISE_VARIANCE * np.eye(len(points)))  # (N, N)
        self._explained = np.linalg.solve(self._factor, (values - self._mean) / self._spread)  # (N,)

    def __call__(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean and standard deviation of the function at points, (Q, D) -> (Q,), (Q,)."""
        projected = np.linalg.solve(self._factor, _matern(self._points, points))  # (N, Q)
        variance = np.maximum(1.0 - (projected**2).sum(axis=0), 1e-12)
        return self._mean + self._spread * (self._explained @ projected), self._spread * np.sqrt(variance)


def best_by_upper_confidence_bound(model: GaussianProcess, points: np.ndarray) -> np.ndarray:
    """Return the point with the highest mean plus CONFIDENCE_WIDTH standard deviations, (Q, D) -> (D,).

    References:
        Srinivas et al., "Gaussian process optimization in the bandit setting: No regret and experimental design", ICML
        2010, arXiv:0912.3995, equation 6.
    """
    mean, deviation = model(points)
    return np.asarray(points[(mean + CONFIDENCE_WIDTH * deviation).argmax()])


def best_by_expected_improvement(model: GaussianProcess, points: np.ndarray, best: float) -> np.ndarray:
    """Return the point with the largest expected improvement over the best value so far, (Q, D) -> (D,).

    References:
        Jones, Schonlau and Welch, "Efficient global optimization of expensive black-box functions", Journal of Global
        Optimization 13 (1998) 455-492, equation 15.
    """
    mean, deviation = model(points)
    improvement = (mean - best) / deviation
    density = np.exp(-(improvement**2) / 2) / math.sqrt(2 * math.pi)
    expected = deviation * (improvement * (1 + erf(improvement / math.sqrt(2))) / 2 + density)
    return np.asarray(points[expected.argmax()])


def replace_failures(observed: np.ndarray) -> np.ndarray:
    """Return observations, (N,), with NaN replaced by the worst observed value, or by 0 if all are NaN."""
    known = observed[~np.isnan(observed)]
    return np.where(np.isnan(observed), known.min() if len(known) else 0.0, observed)


def _matern(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the kernel between points, (N, D) and (Q, D) -> (N, Q)."""
    distance = math.sqrt(5) / LENGTH_SCALE * np.linalg.norm(first[:, None] - second, axis=2)
    return np.asarray((1 + distance + distance**2 / 3) * np.exp(-distance))

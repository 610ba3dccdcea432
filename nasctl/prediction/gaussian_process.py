"""A Gaussian process whose kernel is a sum over groups of features: metrics, structure and genes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize
from scipy.spatial.distance import cdist

# Prior of the logarithms of the hyperparameters, by which few labels do not overfit them: mean and deviation.
VARIANCE_PRIOR = (-1.0, 2.0)  # of a group's share of the variance
LENGTH_PRIOR = (0.0, 1.0)  # of a group's length scale, in typical distances between networks
NOISE_PRIOR = (-2.0, 1.5)  # of the variance of the noise
BOUNDS = {"variance": (-6.0, 3.0), "length": (-2.5, 3.0), "noise": (-6.0, 1.0)}  # of the logarithms
JITTER = 1e-6  # added to the noise, so that the Cholesky decomposition exists
ITERATIONS = 60  # of the optimiser of the hyperparameters
DECIDING = 256  # labels that the hyperparameters are fitted to; more take minutes
ROWS = 2000  # networks predicted at once; bounds memory


@dataclass(frozen=True)
class GroupedGaussianProcess:
    """The posterior of a Gaussian process with one Matérn kernel of order 5/2 for each group of features.

    The kernel is the sum of the groups' kernels, so that accuracy is a smooth function of the metrics, plus one of the
    structure, plus one of the genes. Variances, length scales and noise maximise the marginal likelihood times their
    prior.

    References:
        Rasmussen & Williams, "Gaussian processes for machine learning", MIT Press 2006, equations 2.25, 2.26, 4.17 and
        5.8; Duvenaud et al., "Additive Gaussian processes", NeurIPS 2011, arXiv:1112.4394.

    Args:
        groups: Features of the labelled networks by group, (N, F_g) each, divided by typical distances.
        units: Typical distance between two networks in each group, by which features of other networks are divided.
        parameters: Logarithms of variance and length scale of each group, and of the noise, (2G + 1,).
        factor: Lower Cholesky factor of the covariance of the labels, (N, N).
        weights: Covariance solved for the labels less their mean, (N,).
        mean: Mean of the labels.
    """

    groups: Sequence[np.ndarray]
    units: Sequence[float]
    parameters: np.ndarray
    factor: np.ndarray
    weights: np.ndarray
    mean: float

    @classmethod
    def fit(cls, groups: Sequence[np.ndarray], values: np.ndarray, noise: np.ndarray) -> GroupedGaussianProcess:
        """Fit the process.

        Args:
            groups: Scaled features by group, (N, F_g) each.
            values: Values to predict, (N,).
            noise: Known variance of each value's error, (N,), added to the fitted noise.
        """
        units = [_typical_distance(one) for one in groups]
        points = [one / unit for one, unit in zip(groups, units, strict=True)]
        distances = [cdist(one, one) for one in points]
        mean = float(values.mean())
        count = len(groups)
        some = np.random.default_rng(0).permutation(len(values))[:DECIDING]
        part = [one[np.ix_(some, some)] for one in distances]
        start = np.array([VARIANCE_PRIOR[0], LENGTH_PRIOR[0]] * count + [NOISE_PRIOR[0]])
        bounds = [BOUNDS["variance"], BOUNDS["length"]] * count + [BOUNDS["noise"]]
        found = minimize(
            _loss_and_gradient,
            start,
            args=(part, (values - mean)[some], noise[some]),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": ITERATIONS},
        ).x
        covariance = sum(_kernel(found[2 * k], found[2 * k + 1], one)[0] for k, one in enumerate(distances))
        covariance = covariance + np.diag(np.exp(found[-1]) + JITTER + noise)
        factor = cholesky(covariance, lower=True)
        return cls(points, units, found, factor, cho_solve((factor, True), values - mean), mean)

    def predict(self, groups: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation of the true values, without the noise, (M,) each.

        Args:
            groups: Scaled features by group, (M, F_g) each.
        """
        parts = [self._predicted([one[k : k + ROWS] for one in groups]) for k in range(0, len(groups[0]), ROWS)]
        means, deviations = zip(*parts, strict=True)
        return np.concatenate(means), np.concatenate(deviations)

    def _predicted(self, groups: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        points = [one / unit for one, unit in zip(groups, self.units, strict=True)]
        given = self.parameters
        cross = sum(
            _kernel(given[2 * k], given[2 * k + 1], cdist(one, known))[0]
            for k, (one, known) in enumerate(zip(points, self.groups, strict=True))
        )
        prior = float(np.exp(given[:-1:2]).sum())
        explained = (solve_triangular(self.factor, np.transpose(cross), lower=True) ** 2).sum(axis=0)
        return self.mean + cross @ self.weights, np.sqrt(np.maximum(prior - explained, 1e-12))


def _typical_distance(points: np.ndarray) -> float:
    """Return the root mean square distance of two different networks, (N, F) -> 1 number above 0."""
    squares = 2 * points.var(axis=0).sum() * len(points) / max(1, len(points) - 1)
    return float(np.sqrt(squares)) or 1.0


def _kernel(log_variance: float, log_length: float, distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the Matérn kernel of order 5/2 and its derivative by the logarithm of the length scale."""
    scaled = np.sqrt(5) * distance / np.exp(log_length)
    decay = np.exp(log_variance - scaled)
    return (1 + scaled + scaled**2 / 3) * decay, scaled**2 * (1 + scaled) / 3 * decay


def _loss_and_gradient(
    parameters: np.ndarray, distances: Sequence[np.ndarray], values: np.ndarray, noise: np.ndarray
) -> tuple[float, np.ndarray]:
    """Return the negative log posterior of hyperparameters, and its gradient."""
    kernels = [_kernel(parameters[2 * k], parameters[2 * k + 1], one) for k, one in enumerate(distances)]
    own_noise = float(np.exp(parameters[-1]))
    covariance = sum(kernel for kernel, _ in kernels) + np.diag(own_noise + JITTER + noise)
    factor = cholesky(covariance, lower=True)
    inverse = cho_solve((factor, True), np.eye(len(values)))
    weights = inverse @ values
    inner = inverse - np.outer(weights, weights)  # twice the derivative of the loss by the covariance
    priors = np.array([VARIANCE_PRIOR, LENGTH_PRIOR] * len(distances) + [NOISE_PRIOR])
    offsets = (parameters - priors[:, 0]) / priors[:, 1]
    loss = 0.5 * values @ weights + np.log(np.diag(factor)).sum() + 0.5 * (offsets**2).sum()
    slopes = [0.5 * (inner * part).sum() for kernel in kernels for part in kernel]
    slopes.append(0.5 * own_noise * np.trace(inner))
    return float(loss), np.array(slopes) + offsets / priors[:, 1]

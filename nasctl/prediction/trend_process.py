"""A Gaussian process with a linear trend, for predicting networks that are better than all labelled ones.

A search on a predictor asks about networks beyond the labels. Trees and stationary kernels return to the mean of the
labels there, so a linear kernel of the metrics is part of this process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
from scipy.linalg import LinAlgError, cho_solve, cholesky, solve_triangular

from nasctl.prediction.feature_scale import GENES, FeatureScale
from nasctl.prediction.label_scale import LabelScale

ROWS = 4000  # networks predicted at once; bounds memory


class KernelSettings(NamedTuple):
    """Hyperparameters of the kernel. Distances are in units of typical distances over the square root of 2."""

    trend: float  # variance of the linear kernel, in variances of the sum of the other kernels
    length: float  # length scale of metrics and structure
    gene_length: float  # length scale of genes
    noise: float  # variance of the noise, in variances of the sum of the other kernels
    metrics: bool = True  # False for kernels of genes alone, the linear one included


TRENDS, GENE_LENGTHS, NOISES = (0.0, 0.3, 1.0), (0.5, 1.0, 2.0), (0.01, 0.05, 0.2)
# Settings from which the largest marginal likelihood chooses.
METRIC_GRID = [KernelSettings(*one) for one in product(TRENDS, (0.3, 0.6, 1.2, 2.4), GENE_LENGTHS, NOISES)]
GENE_GRID = [
    KernelSettings(trend, 1.0, length, noise, metrics=False)
    for trend, length, noise in product(TRENDS, GENE_LENGTHS, NOISES)
]


class FeaturePoints:
    """A scaler of features into points of two groups: metrics with structure, and genes.

    A metric that failed counts as above every value in the sample, and so as worst where metrics are given as losses.

    Args:
        groups: Group of each feature, (F,); see `FeatureScale`.
        sample: Features of networks of the space, (R, F), by which features are scaled.
    """

    def __init__(self, groups: Sequence[str], sample: np.ndarray) -> None:
        genes = np.array([group == GENES for group in groups], dtype=bool)
        self._columns = [np.flatnonzero(~genes), np.flatnonzero(genes)]
        highest = np.where(np.isfinite(sample), sample, -np.inf).max(axis=0, initial=-np.inf)
        self._above = np.where(np.isfinite(highest), highest + 1 + np.abs(highest), 0.0)  # (F,), in place of failures
        known = self._filled(sample)
        self._scales = [FeatureScale([groups[k] for k in one.tolist()], known[:, one]) for one in self._columns]
        self._units = [1.0, 1.0]
        self._units = [float(np.sqrt(one.var(axis=0).sum())) or 1.0 for one in self.points(sample)]

    def points(self, features: np.ndarray) -> list[np.ndarray]:
        """Return the points of networks, (N, F) -> (N, F_g) each; the mean square distance in the sample is 2."""
        found, features = [], self._filled(features)
        for columns, scale, unit in zip(self._columns, self._scales, self._units, strict=True):
            scaled = scale.scaled(features[:, columns])
            found.append(np.concatenate(scaled, axis=1) / unit if scaled else np.empty((len(features), 0)))
        return found

    def _filled(self, features: np.ndarray) -> np.ndarray:
        return np.where(np.isfinite(features), features, self._above)


@dataclass(frozen=True)
class TrendProcess:
    """A Gaussian process that was fitted to labels by `fit_trend_process`.

    Args:
        label_scale: Scale between labels and the normal scores that the process predicts.
        scaler: Scaler of features.
        points: Points of the labelled networks by group.
        settings: Hyperparameters.
        factor: Lower Cholesky factor of the covariance of the scores, (N, N).
        weights: Covariance solved for the scores, (N,).
        variance: Factor between the kernel and variances of scores.
    """

    label_scale: LabelScale
    scaler: FeaturePoints
    points: Sequence[np.ndarray]
    settings: KernelSettings
    factor: np.ndarray
    weights: np.ndarray
    variance: float

    def scores(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the predicted normal scores of labels and their standard deviations, (N, F) -> (N,) each."""
        parts = [self._part(features[k : k + ROWS]) for k in range(0, max(1, len(features)), ROWS)]
        means, deviations = zip(*parts, strict=True)
        return np.concatenate(means), np.concatenate(deviations)

    def predict(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the predicted labels and their standard deviations, (N, F) -> (N,) each, in the labels' unit."""
        mean, deviation = self.scores(features)
        low, high = (self.label_scale.to_labels(mean + sign * deviation) for sign in (-1, 1))
        return self.label_scale.to_labels(mean), (high - low) / 2

    def _part(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        points = self.scaler.points(features)
        cross = _kernel(_products_and_distances(points, self.points), self.settings)
        prior = 1.0 + self.settings.trend * (points[0 if self.settings.metrics else 1] ** 2).sum(axis=1)
        explained = (solve_triangular(self.factor, cross.T, lower=True) ** 2).sum(axis=0)
        return cross @ self.weights, np.sqrt(np.maximum(prior - explained, 1e-9) * self.variance)


def fit_trend_process(
    features: np.ndarray,
    labels: np.ndarray,
    groups: Sequence[str],
    sample: np.ndarray,
    errors: np.ndarray | None = None,
    grid: Sequence[KernelSettings] = METRIC_GRID,
) -> TrendProcess:
    """Fit a Gaussian process to the normal scores of labels.

    The kernel is linear in metrics and structure, plus half a squared exponential of metrics and structure, plus half a
    squared exponential of genes. Settings without metrics are linear in genes, plus a squared exponential of genes. The
    hyperparameters maximise the marginal likelihood over a grid, so that metrics that say nothing about the labels are
    dropped where the grid has settings without them. The variance of all kernels has a closed form.

    References:
        Rasmussen & Williams, "Gaussian processes for machine learning", MIT Press 2006, equations 2.25, 2.26 and 5.8,
        and section 2.7 for a linear trend.

    Args:
        features: Features of the labelled networks, (N, F), metrics as losses; not finite where a metric failed.
        labels: Labels, (N,), finite, higher is better.
        groups: Group of each feature, (F,): "metrics", "structure" or "genes".
        sample: Features of networks with or without labels, (R, F), by which features are scaled.
        errors: Standard errors of the labels, (N,); NaN or 0 where none is known.
        grid: Settings to choose from.

    Raises:
        ValueError: All labels are equal, or fewer than two.
    """
    if len(labels) < 2 or np.ptp(labels) == 0:
        raise ValueError("a predictor needs at least two different labels")
    label_scale, scaler = LabelScale.of(labels), FeaturePoints(groups, sample)
    points, scores = scaler.points(features), label_scale.to_scores(labels)
    known = np.zeros(len(labels)) if errors is None else np.nan_to_num(np.asarray(errors, dtype=float))
    extra = (known / label_scale.slopes(labels)) ** 2
    parts = _products_and_distances(points, points)
    fits = []
    for settings in grid:
        try:
            factor = cholesky(_kernel(parts, settings) + np.diag(settings.noise + extra), lower=True)
        except LinAlgError:  # a covariance with equal networks and little noise
            continue
        weights = cho_solve((factor, True), scores)
        variance = float(scores @ weights) / len(scores)
        likelihood = -len(scores) / 2 * np.log(variance) - np.log(np.diag(factor)).sum()
        fits.append((float(likelihood), TrendProcess(label_scale, scaler, points, settings, factor, weights, variance)))
    return max(fits, key=lambda fit: fit[0])[1]


def _products_and_distances(ones: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return inner products of either group, and squared distances of either group, (N, K) each."""
    products = [one @ other.T for one, other in zip(ones, others, strict=True)]
    squares = [
        np.maximum((one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1) - 2 * product, 0.0)
        for one, other, product in zip(ones, others, products, strict=True)
    ]
    return [*products, *squares]


def _kernel(parts: Sequence[np.ndarray], settings: KernelSettings) -> np.ndarray:
    """Return the kernel, (N, K), without the noise, given what `_products_and_distances` returns."""
    products, gene_products, distances, genes = parts
    if not settings.metrics:
        return np.asarray(settings.trend * gene_products + np.exp(-genes / (2 * settings.gene_length**2)))
    smooth = np.exp(-distances / (2 * settings.length**2)) + np.exp(-genes / (2 * settings.gene_length**2))
    return np.asarray(settings.trend * products + smooth / 2)

"""Monotone scale between labels, such as accuracies in %, and the normal scores of their ranks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata

TAIL = 0.2  # share of the labels at each end, whose mean slope continues the scale beyond the labels


@dataclass(frozen=True)
class LabelScale:
    """A monotone, piecewise linear map between labels and normal scores.

    Normal scores keep a few extremely bad networks from deciding on a fit. Beyond the labels, the scale continues with
    the mean slope of the outer fifth of the labels, so that a network can be predicted to be better than every label.

    Args:
        labels: Distinct labels in ascending order, (K,).
        scores: Their normal scores, (K,), ascending.
    """

    labels: np.ndarray
    scores: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray) -> LabelScale:
        """Return the scale of labels, (N,), of which at least two differ. Equal labels share their mean rank."""
        distinct, first = np.unique(labels, return_index=True)
        return cls(distinct, ndtri(rankdata(labels)[first] / (len(labels) + 1)))

    def to_scores(self, labels: np.ndarray) -> np.ndarray:
        """Return the normal scores of labels, (N,) -> (N,)."""
        return _continued(labels, self.labels, self.scores)

    def to_labels(self, scores: np.ndarray) -> np.ndarray:
        """Return the labels of normal scores, (N,) -> (N,)."""
        return _continued(scores, self.scores, self.labels)

    def slopes(self, labels: np.ndarray) -> np.ndarray:
        """Return the labels' units per unit of the normal score near labels, (N,) -> (N,), above 0."""
        scores = self.to_scores(labels)
        return np.asarray((self.to_labels(scores + 0.5) - self.to_labels(scores - 0.5)).clip(min=1e-12))


def _continued(values: np.ndarray, xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
    """Interpolate, and extrapolate with the mean slope of the outer points."""
    outer = max(1, round(TAIL * len(xs)))
    low = (ys[outer] - ys[0]) / (xs[outer] - xs[0])
    high = (ys[-1] - ys[-1 - outer]) / (xs[-1] - xs[-1 - outer])
    inside = np.interp(values, xs, ys)
    below, above = np.minimum(values - xs[0], 0.0), np.maximum(values - xs[-1], 0.0)
    return np.asarray(inside + low * below + high * above)

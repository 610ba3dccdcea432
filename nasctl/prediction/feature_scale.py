"""Scaling of features by a sample of the space, most of which has no labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata

METRICS, STRUCTURE, GENES = "metrics", "structure", "genes"  # groups of features
GROUPS = (METRICS, STRUCTURE, GENES)
CONSTANT = 1e-12  # share of its magnitude, up to which a feature's range counts as rounding


class FeatureScale:
    """A scaler of features, fitted to a sample of the space.

    Metrics become the normal scores of their ranks in the sample, since their magnitudes mean little. Networks without
    labels count too, so this step is semi-supervised. Features of the structure get mean 0 and deviation 1. Genes are
    zeros and ones and stay as they are. A metric that failed is below every value, and a further column says that it
    failed. Features that are constant in the sample are left out.

    Args:
        groups: Group of each feature, (F,).
        sample: Features of networks of the space, (R, F); not finite where a metric failed.
    """

    def __init__(self, groups: Sequence[str], sample: np.ndarray) -> None:
        self._scales = [_scale(group, column) for group, column in zip(groups, sample.T, strict=True)]
        kept = [(place, group) for place, group in enumerate(groups) if self._scales[place] is not None]
        self._places = {one: [place for place, group in kept if group == one] for one in GROUPS}
        failed = {place: (~np.isfinite(sample[:, place])).astype(float) for place, _ in kept}
        self._failing = {place: _Standardised(column) for place, column in failed.items() if column.any()}
        known = np.where(np.isfinite(sample), sample, np.inf).min(axis=0, initial=np.inf)
        known[~np.isfinite(known)] = 0.0  # of metrics that failed everywhere, which are left out
        self._lowest = known - 1 - np.abs(known)

    def scaled(self, features: np.ndarray) -> list[np.ndarray]:
        """Return the scaled features of each group that varies, (N, F) -> (N, F_g) each.

        Args:
            features: Features, (N, F); not finite where a metric failed.
        """
        found = []
        for places in self._places.values():
            columns = [self._scales[place](features[:, place]) for place in places]  # type: ignore[misc]  # kept
            for place in places:
                if place in self._failing:
                    columns.append(self._failing[place](~np.isfinite(features[:, place])))
            if columns:
                found.append(np.column_stack(columns))
        return found

    def filled(self, features: np.ndarray, groups: Sequence[str] = GROUPS) -> np.ndarray:
        """Return features as they are, with a value below all others where a metric failed, (N, F) -> (N, K).

        Args:
            features: Features, (N, F); not finite where a metric failed.
            groups: Groups to return; all, if no feature of these varies.
        """
        places = [place for group in groups for place in self._places[group]]
        places = places or [place for group in self._places.values() for place in group]
        return np.where(np.isfinite(features), features, self._lowest)[:, places]


class _NormalScores:
    """Normal scores of the ranks in a column; values between two of the column's are interpolated."""

    def __init__(self, column: np.ndarray) -> None:
        known = column[np.isfinite(column)]
        self._values, first = np.unique(known, return_index=True)
        failed = len(column) - len(known)
        self._scores = ndtri((failed + rankdata(known)[first]) / (len(column) + 1))
        self._failed = float(ndtri((failed + 1) / 2 / (len(column) + 1)))

    def __call__(self, column: np.ndarray) -> np.ndarray:
        known = np.isfinite(column)
        scores = np.interp(np.where(known, column, self._values[0]), self._values, self._scores)
        return np.where(known, scores, self._failed)


class _Standardised:
    """A column with mean 0 and deviation 1."""

    def __init__(self, column: np.ndarray) -> None:
        self._mean, self._deviation = float(column.mean()), float(column.std())

    def __call__(self, column: np.ndarray) -> np.ndarray:
        return np.asarray((column - self._mean) / self._deviation)


def _unchanged(column: np.ndarray) -> np.ndarray:
    return column


def _scale(group: str, column: np.ndarray) -> Callable[[np.ndarray], np.ndarray] | None:
    """Return the scale of a feature, given its values in the sample, (R,); None if it is constant."""
    known = column[np.isfinite(column)]
    if not len(known):
        return None
    constant = np.ptp(known) <= CONSTANT * max(1.0, float(np.abs(known).max()))
    if constant and (group != METRICS or len(known) == len(column)):
        return None
    return _NormalScores(column) if group == METRICS else _Standardised(column) if group == STRUCTURE else _unchanged

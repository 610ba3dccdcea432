"""Rank correlation of metrics with known values of candidates, and its bootstrap intervals."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.stats import DegenerateDataWarning, bootstrap, kendalltau, rankdata

TOP = 0.1  # share of the candidates that count as the best
LEVEL = 0.95  # confidence level of the intervals
RESAMPLED_CELLS = 1 << 20  # candidates resampled at once, over all resamples; bounds memory to some 100 MB


class Estimate(NamedTuple):
    """A statistic of the sample with its 95% confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Agreement:
    """Agreement of two orders of the same candidates; None where one of them takes all candidates for equal.

    Args:
        spearman: Spearman's rank correlation; ties share their average rank.
        kendall: Kendall's tau-b.
        top: Share of the best tenth by score that is in the best tenth by truth; 0.1 is the value of chance.
        n: Number of candidates.
        failed: Number of candidates without a score.
        without_failed: Spearman's rho among the candidates with a score; None if fewer than two have one, or where they
            are equal.
    """

    spearman: Estimate | None
    kendall: Estimate | None
    top: Estimate | None
    n: int
    failed: int
    without_failed: float | None = None


def spearman(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return Spearman's rho along the last axis, NaN where all values of one or of the other are equal.

    Values that are not finite count as worst and as equal to one another; ties share their average rank.

    Args:
        one: Values, (..., N), higher is better.
        other: Values, (..., N), whose other axes broadcast with those of `one`.

    Returns:
        Rho, in the shape of the other axes.
    """
    filled = (np.where(np.isfinite(values), values, -np.inf) for values in (one, other))
    return _cosine(*(rankdata(values, axis=-1) - (values.shape[-1] + 1) / 2 for values in filled))


def agreement(scores: np.ndarray, truth: np.ndarray, seed: int = 0, resamples: int = 1000) -> Agreement:
    """Compare the order of scores with the true order. Failed candidates count as worst and as equal to one another.

    The intervals are percentile intervals of the bootstrap over candidates. They show the uncertainty about other
    candidates of the space, and not about other weights or data.

    References:
        Efron & Tibshirani, "An introduction to the bootstrap", 1993, chapter 13 (percentile intervals).

    Args:
        scores: Scores, (N,), higher is better; not finite where the metric failed.
        truth: True values, (N,), higher is better, finite.
        seed: Seed of the resamples. Metrics that are compared with one seed are compared on the same resamples.
        resamples: Number of resamples; 1,000 of 5,000 candidates take about a second. Without any, each interval is the
            value itself.

    Raises:
        ValueError: The arrays are empty, differ in length, or a true value is not finite.
    """
    if scores.shape != truth.shape or not truth.size or not np.isfinite(truth).all():
        raise ValueError("scores and truth must be of the same candidates, at least one, and every truth finite")
    known = np.isfinite(scores)
    # Only the order counts, so dense ranks stand for the values: integers from 0, equal for equal values.
    x, y = (np.unique(v, return_inverse=True)[1] for v in (np.where(known, scores, -np.inf), truth))
    ordered = x.any() and y.any()
    rho, tau, top = _estimates(x, y, seed, resamples) if ordered else (None, None, None)
    rest = float(spearman(scores[known], truth[known])) if known.any() else np.nan
    failed = int((~known).sum())
    return Agreement(rho, tau, top, len(truth), failed, None if np.isnan(rest) else rest)


def _estimates(x: np.ndarray, y: np.ndarray, seed: int, resamples: int) -> Iterator[Estimate]:
    """Return Spearman's rho, Kendall's tau and the overlap of the best tenths, given dense ranks, (N,)."""
    values = _statistics(x[None], y[None])  # (3, 1)
    found = values
    if resamples:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DegenerateDataWarning)  # of resamples without two different values
            drawn = bootstrap(
                (x, y),
                _statistics,
                n_resamples=resamples,
                batch=max(1, RESAMPLED_CELLS // len(x)),
                vectorized=True,
                paired=True,
                method="percentile",
                confidence_level=LEVEL,
                rng=np.random.default_rng(seed),
            ).bootstrap_distribution
        found = np.hstack([values, drawn])
    # Resamples without two different values have no correlation and are left out. The value itself is always there.
    low, high = np.nanpercentile(found, [50 * (1 - LEVEL), 50 * (1 + LEVEL)], axis=1)
    return (Estimate(*map(float, row)) for row in zip(values[:, 0], low, high, strict=True))


def _statistics(x: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return the three statistics of B samples given by dense ranks, (B, N) and (B, N) -> (3, B)."""
    kendall = [float(kendalltau(one, other).statistic) for one, other in zip(x, y, strict=True)]
    rho = _cosine(_centred_ranks(x), _centred_ranks(y))
    return np.stack([rho, np.array(kendall), (_in_top(x) * _in_top(y)).sum(axis=1) / _top_size(x)])


def _cosine(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return Spearman's rho of centred ranks along the last axis, (..., N) -> (...), NaN where all of them are 0."""
    products = (one * other).sum(axis=-1)
    norm = np.sqrt((one**2).sum(axis=-1) * (other**2).sum(axis=-1))
    return np.asarray(np.divide(products, norm, out=np.full(np.shape(products), np.nan), where=norm > 0))


def _counts(places: np.ndarray) -> np.ndarray:
    """Return how often each dense rank from 0 to K - 1 occurs in each sample, (B, N) -> (B, K)."""
    samples, size = len(places), int(places.max()) + 1
    offsets = size * np.arange(samples)[:, None]
    return np.bincount((places + offsets).ravel(), minlength=samples * size).reshape(samples, size)


def _centred_ranks(places: np.ndarray) -> np.ndarray:
    """Return average ranks minus their mean, (B, N); dense ranks are counted, which is faster than sorting."""
    counts = _counts(places)
    ranks = np.cumsum(counts, axis=1) - (counts - 1) / 2
    return np.asarray(np.take_along_axis(ranks, places, axis=1) - (places.shape[1] + 1) / 2)


def _top_size(places: np.ndarray) -> float:
    return float(np.ceil(TOP * places.shape[1]))


def _in_top(places: np.ndarray) -> np.ndarray:
    """Return to what share each candidate is in the best tenth of its sample, (B, N).

    Equal candidates at the edge of the best tenth share the places that are left. The overlap of two best tenths is
    therefore its mean over all ways to break the ties of each order independently.
    """
    counts = _counts(places)
    above = places.shape[1] - np.cumsum(counts, axis=1)
    free = np.clip(_top_size(places) - above, 0, counts)
    return np.asarray(np.take_along_axis(free / np.maximum(counts, 1), places, axis=1))

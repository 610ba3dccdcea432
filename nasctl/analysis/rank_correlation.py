"""How well a metric keeps the order of what is known of candidates, with the uncertainty of the sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.stats import kendalltau

TOP = 0.1  # share of the candidates whose overlap is counted
LEVEL = 95  # percent, of the intervals
Statistic = Callable[[np.ndarray, np.ndarray, np.ndarray], float]


class Estimate(NamedTuple):
    """A statistic of the sample, and its 95 percent interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Agreement:
    """How two orders of the same candidates agree; None where one of them takes all candidates for equal.

    Args:
        spearman: Rank correlation, average ranks for ties.
        kendall: Kendall's tau-b.
        top: The share of the best tenth by score that is in the best tenth by truth; .1 is what chance gives.
        n: Candidates.
        failed: Of those, without a score.
    """

    spearman: Estimate | None
    kendall: Estimate | None
    top: Estimate | None
    n: int
    failed: int


def agreement(scores: np.ndarray, truth: np.ndarray, seed: int = 0, resamples: int = 1000) -> Agreement:
    """Compare the order of scores with the true one. A failed candidate counts as worst, all of them as equal.

    The intervals are the bootstrap's: the candidates are drawn anew, with replacement, and the middle 95 percent of
    what the resamples give is reported. It is the uncertainty about other candidates of the space, not about other
    weights or data.

    References:
        Efron & Tibshirani, "An introduction to the bootstrap", 1993, chapter 13 (percentile intervals).

    Args:
        scores: (N,), higher is better; not finite where the metric failed.
        truth: (N,), higher is better, finite.
        seed: Of the resamples; equal for all metrics, so they are compared on the same resamples.
        resamples: How many; a second for each 1,000 of 5,000 candidates.

    Raises:
        ValueError: The arrays are empty, differ in length, or a truth is not finite.
    """
    if scores.shape != truth.shape or not truth.size or not np.isfinite(truth).all():
        raise ValueError("scores and truth are of the same candidates, one or more, and every truth is finite")
    known = np.isfinite(scores)
    # Only the order counts, so places in it stand for the values: integers from 0, equal for equal values.
    x, y = (np.unique(v, return_inverse=True)[1] for v in (np.where(known, scores, -np.inf), truth))
    spearman, kendall, top = (_estimate(one, x, y, seed, resamples) for one in (_spearman, _kendall, _top))
    return Agreement(spearman, kendall, top, n=len(truth), failed=int((~known).sum()))


def _estimate(statistic: Statistic, x: np.ndarray, y: np.ndarray, seed: int, resamples: int) -> Estimate | None:
    if not (x.any() and y.any()):
        return None
    rng = np.random.default_rng(seed)
    size = len(x)
    drawn = [statistic(x, y, rng.integers(size, size=size)) for _ in range(resamples)]
    value = statistic(x, y, np.arange(size))
    # A resample without two different values has none; the value itself makes sure that there is one to take.
    low, high = np.nanpercentile([value, *drawn], [(100 - LEVEL) / 2, (100 + LEVEL) / 2])
    return Estimate(value, float(low), float(high))


def _spearman(x: np.ndarray, y: np.ndarray, drawn: np.ndarray) -> float:
    """Of the drawn candidates; NaN where all of them are equal in x or in y."""
    a, b = _centred_ranks(x[drawn]), _centred_ranks(y[drawn])
    norm = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / norm) if norm else np.nan


def _centred_ranks(places: np.ndarray) -> np.ndarray:
    """Average ranks less their mean; counted, since places are integers, and not sorted."""
    counts = np.bincount(places)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    return np.asarray(ranks[places] - (len(places) + 1) / 2)


def _kendall(x: np.ndarray, y: np.ndarray, drawn: np.ndarray) -> float:
    """Of the drawn candidates; NaN where all of them are equal in x or in y."""
    return float(kendalltau(x[drawn], y[drawn]).statistic)


def _top(x: np.ndarray, y: np.ndarray, drawn: np.ndarray) -> float:
    """Overlap of the two best tenths of the drawn candidates.

    Of equals at the edge of a tenth each is in it with the same share. The overlap is thus the mean over all ways to
    break the ties of x and of y, each on its own.
    """
    share = _in_top(x[drawn]) @ _in_top(y[drawn])
    return float(share / np.ceil(TOP * len(drawn)))


def _in_top(places: np.ndarray) -> np.ndarray:
    """To what share each candidate is in the best tenth, (N,)."""
    counts = np.bincount(places)
    above = len(places) - np.cumsum(counts)
    free = np.clip(np.ceil(TOP * len(places)) - above, 0, counts)
    return np.asarray((free / np.maximum(counts, 1))[places])

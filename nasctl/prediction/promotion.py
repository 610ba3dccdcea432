"""Promotion of candidates to the next rung of a successive halving with several objectives."""

from __future__ import annotations

import numpy as np


def promote(losses: np.ndarray, keep: int) -> np.ndarray:
    """Return the candidates that a rung of synchronous successive halving promotes.

    Whole non-dominated fronts are promoted while there is room. Members of the first front without room for all are
    promoted one by one: first the best in each objective, then the member that is farthest from all promoted
    candidates. Distances are Euclidean, with each objective scaled to its range over the candidates that did not fail.
    Of equal candidates, the first one counts. The order of rows therefore matters only where losses are equal.

    References:
        Jamieson & Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization", AISTATS 2016,
        arXiv:1502.07943, for successive halving. Salinas et al., "A multi-objective perspective on jointly tuning
        hardware and hyperparameters", 2021, arXiv:2106.05680, for promotion by non-dominated sorting and an
        epsilon-net, which takes the farthest candidate first.

    Args:
        losses: Losses to minimise, (N, M); a row with NaN has failed and is promoted last, in the order of rows.
        keep: Number of candidates to promote.

    Returns:
        Rows of the promoted candidates, (min(N, keep),), the first promoted first.

    Raises:
        ValueError: `losses` has no two dimensions, or `keep` is below 0.
    """
    import moocore

    losses = np.asarray(losses, dtype=float)
    if losses.ndim != 2 or keep < 0:
        raise ValueError("losses must be (N, M), and keep at least 0")
    whole = np.flatnonzero(np.isfinite(losses).all(axis=1))
    span = np.ptp(losses[whole], axis=0) if len(whole) else np.ones(losses.shape[1])
    points = losses / np.where(span > 0, span, 1.0)
    promoted: list[int] = []
    left = whole
    while len(left) and len(promoted) < keep:
        first = moocore.is_nondominated(losses[left], keep_weakly=True)
        front, left = left[first], left[~first]
        room = keep - len(promoted)
        promoted += _farthest_first(points, front, promoted, min(room, len(front)))
    failed = np.setdiff1d(np.arange(len(losses)), whole)
    return np.array([*promoted, *failed[: keep - len(promoted)]], dtype=int)


def _farthest_first(points: np.ndarray, front: np.ndarray, promoted: list[int], number: int) -> list[int]:
    """Return members of a front, the best of each objective first, then each the farthest from those before.

    Args:
        points: Losses in units of their ranges, (N, M).
        front: Rows of the members of the front, (A,).
        promoted: Rows that were promoted before.
        number: Members to return, at most A.
    """
    chosen = list(dict.fromkeys(front[points[front].argmin(axis=0)].tolist()))[:number]
    there = points[[*promoted, *chosen]]
    near = np.array([np.linalg.norm(there - point, axis=1).min() for point in points[front]])  # (A,)
    near[np.isin(front, chosen)] = -1.0
    while len(chosen) < number:
        place = int(near.argmax())
        chosen.append(int(front[place]))
        near = np.minimum(near, np.linalg.norm(points[front] - points[front[place]], axis=1))
        near[np.isin(front, chosen)] = -1.0
    return chosen

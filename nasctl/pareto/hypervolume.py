"""Hypervolume of normalised points, non-dominated points, and the checkpoints of a curve."""

from __future__ import annotations

import numpy as np

# The reference point of the hypervolume, in each objective as a share of its range.
REFERENCE = 1.05


def pareto(points: np.ndarray) -> np.ndarray:
    """Return the distinct non-dominated points, (K, M) -> (F, M); all objectives are minimised."""
    import moocore

    found: np.ndarray = moocore.filter_dominated(points)
    return found


def hypervolume(points: np.ndarray) -> float:
    """Return the hypervolume of points to be minimised, (K, M), with `REFERENCE` in each objective; not normalised."""
    import moocore

    return float(moocore.hypervolume(points, ref=np.full(points.shape[1], REFERENCE)))


def scaled(values: np.ndarray) -> np.ndarray:
    """Return values scaled from their range to [0, 1]."""
    found: np.ndarray = (values - values.min()) / np.ptp(values)
    return found


def checkpoints(total: int, number: int) -> list[int]:
    """Return at most `number` numbers of evaluations at equal distances, ascending; the last is the total."""
    return sorted({-(-total * k // number) for k in range(1, number + 1)})

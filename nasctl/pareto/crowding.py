"""Truncation of a front to a fixed size by crowding distance."""

from __future__ import annotations

import numpy as np


def spread(losses: np.ndarray, number: int) -> np.ndarray:
    """Return the rows of the members of a front with the largest crowding distances, ascending.

    Args:
        losses: The front, (A, M), finite.
        number: Members to keep; all are kept if the front has no more.

    Returns:
        Rows, (min(A, number),).

    References:
        Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE Transactions on Evolutionary
        Computation 6 (2002) 182-197, section III-B.
    """
    from pymoo.operators.survival.rank_and_crowding.metrics import calc_crowding_distance

    if not len(losses):
        return np.arange(0)
    return np.sort(np.argsort(-calc_crowding_distance(losses), kind="stable")[:number])

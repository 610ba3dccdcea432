"""Truncation of a front to a fixed size by crowding distance."""

from __future__ import annotations

import numpy as np


def spread(losses: np.ndarray, number: int) -> np.ndarray:
    """Places of the members of a front, (A, M), with the largest crowding distance: at most so many, ascending.

    References:
        Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE Transactions on Evolutionary
        Computation 6 (2002) 182-197, section III-B.
    """
    distance = np.zeros(len(losses))
    for column in losses.T:
        order = np.argsort(column, kind="stable")
        if (span := np.ptp(column)) > 0:
            distance[order[[0, -1]]] = np.inf
            distance[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / span
    return np.sort(np.argsort(-distance, kind="stable")[:number])

"""One loss from 0 to 1 for several objectives and constraints: the share of earlier genomes that are better."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort

import numpy as np

Key = tuple[int, float]  # 0 and the loss; 1 and the violation; 2 and 0 for a failure


class QuantileLoss:
    """The mean over objectives of the share of the genomes told so far that are better, counting ties half.

    Genomes that break a constraint come after all that do not, by their violation, and failed ones come last. Each loss
    is from 0 to 1 whatever the scale of an objective, and changes as more genomes are told.

    Args:
        objectives: Number of objectives.
    """

    def __init__(self, objectives: int) -> None:
        self._sorted: list[list[Key]] = [[] for _ in range(objectives)]

    def add(self, losses: np.ndarray, violations: np.ndarray) -> list[tuple[Key, ...]]:
        """Add genomes, and return their keys.

        Args:
            losses: (N, M), NaN where an objective failed.
            violations: (N, C), 0 where a constraint holds.
        """
        found = []
        for row, excess in zip(losses, violations.sum(axis=1).tolist(), strict=True):
            failed = bool(np.isnan(row).any())
            keys = tuple((1, excess) if excess > 0 else (2, 0.0) if failed else (0, value) for value in row.tolist())
            for own, key in zip(self._sorted, keys, strict=True):
                insort(own, key)
            found.append(keys)
        return found

    def of(self, keys: tuple[Key, ...]) -> float:
        """Return the loss of a genome among all that have been added, by its keys."""
        shares = [
            (bisect_left(own, key) + bisect_right(own, key)) / (2 * len(own))
            for own, key in zip(self._sorted, keys, strict=True)
        ]
        return float(np.mean(shares))

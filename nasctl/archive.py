"""The non-dominated set of everything seen so far."""

from __future__ import annotations

import numpy as np

from nasctl.values import Genome


class Archive:
    """An unbounded Pareto archive; all losses are minimised.

    Two genomes with equal losses are both kept: neither dominates the other.

    Args:
        n_objectives: M.
    """

    def __init__(self, n_objectives: int) -> None:
        self.genomes: list[Genome] = []  # (A,), in the order in which they were added
        self._members: set[Genome] = set()
        self.losses = np.empty((0, n_objectives))  # (A, M)

    def add(self, genome: Genome, losses: np.ndarray) -> None:
        """Put a genome in unless something in the archive dominates it, and throw out what it dominates.

        Args:
            genome: The genome, canonical.
            losses: (M,), finite.
        """
        if genome in self or dominates(self.losses, losses).any():
            return
        kept = ~dominates(losses, self.losses)
        self.genomes = [other for other, keep in zip(self.genomes, kept, strict=True) if keep] + [genome]
        self._members = set(self.genomes)
        self.losses = np.vstack([self.losses[kept], losses])

    def __contains__(self, genome: Genome) -> bool:
        return genome in self._members


def dominates(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Whether `one` is nowhere worse and somewhere better, (..., M) and (..., M) -> (...)."""
    return np.asarray((one <= other).all(axis=-1) & (one < other).any(axis=-1))


def knee(losses: np.ndarray) -> int:
    """Where in a front, (A, M), what lies nearest to the best of every objective is, each scaled to its range."""
    span = np.ptp(losses, axis=0)
    scaled = (losses - losses.min(axis=0)) / np.where(span > 0, span, 1.0)
    return int(np.linalg.norm(scaled, axis=1).argmin())

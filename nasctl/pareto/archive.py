"""The non-dominated set of everything seen so far."""

from __future__ import annotations

import numpy as np

from nasctl.problem.space import Genome


class Archive:
    """An unbounded Pareto archive; all losses are minimised.

    Two genomes with equal losses are both kept: neither dominates the other.

    Args:
        n_objectives: M.
    """

    def __init__(self, n_objectives: int) -> None:
        self._number = 0  # of rows in use, of which some are no members any more
        self._rows = np.empty((n_objectives, 16)).T  # objective by objective in memory, which compares faster
        self._alive = np.zeros(16, dtype=bool)
        self._held: list[Genome] = []  # by row
        self._place: dict[Genome, int] = {}  # of members

    @property
    def genomes(self) -> list[Genome]:
        """The members in the order in which they were added, (A,)."""
        return list(self._place)

    @property
    def losses(self) -> np.ndarray:
        """Of the members, (A, M)."""
        return self._rows[: self._number][self._alive[: self._number]]

    def add(self, genome: Genome, losses: np.ndarray) -> None:
        """Put a genome in unless something in the archive dominates it, and throw out what it dominates.

        Args:
            genome: The genome, canonical.
            losses: (M,), finite.
        """
        rows = self._rows[: self._number]  # what a former member dominates, a present one does too
        if genome in self._place or dominates(rows, losses).any():
            return
        for place in np.flatnonzero(dominates(losses, rows) & self._alive[: self._number]).tolist():
            self._alive[place] = False
            del self._place[self._held[place]]
        if self._number == len(self._rows):
            self._make_room()
        self._rows[self._number], self._alive[self._number] = losses, True
        self._place[genome] = self._number
        self._held.append(genome)
        self._number += 1

    def __len__(self) -> int:
        return len(self._place)

    def __contains__(self, genome: Genome) -> bool:
        return genome in self._place

    def _make_room(self) -> None:
        """Leave out rows of former members, and have as many free ones as members."""
        rows, genomes = self.losses, self.genomes
        room = max(16, 2 * len(genomes))
        self._rows, self._alive = np.empty((rows.shape[1], room)).T, np.zeros(room, dtype=bool)
        self._rows[: len(rows)], self._alive[: len(rows)] = rows, True
        self._held, self._number = genomes, len(genomes)
        self._place = {genome: place for place, genome in enumerate(genomes)}


def dominates(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Whether `one` is nowhere worse and somewhere better, (..., M) and (..., M) -> (...)."""
    return np.asarray((one <= other).all(axis=-1) & (one < other).any(axis=-1))


def closest_to_ideal(losses: np.ndarray) -> int:
    """Where in a front, (A, M), what lies nearest to the best of every objective is, each scaled to its range."""
    span = np.ptp(losses, axis=0)
    scaled = (losses - losses.min(axis=0)) / np.where(span > 0, span, 1.0)
    return int(np.linalg.norm(scaled, axis=1).argmin())

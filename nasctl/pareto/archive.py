"""An archive of non-dominated genomes, and the point of a front that is closest to the ideal point."""

from __future__ import annotations

import numpy as np

from nasctl.problem.space import Genome


class Archive:
    """An unbounded Pareto archive; all losses are minimised.

    Two genomes with equal losses are both kept: neither dominates the other.

    Args:
        n_objectives: The number of objectives, M.
    """

    def __init__(self, n_objectives: int) -> None:
        self._used = 0  # rows in use, including those of former members
        self._rows = np.empty((n_objectives, 16)).T  # losses, column by column in memory, which compares faster
        self._alive = np.zeros(16, dtype=bool)  # rows of present members
        self._genomes: list[Genome] = []  # by row
        self._members: dict[Genome, None] = {}  # an ordered set

    @property
    def genomes(self) -> list[Genome]:
        """The members in the order in which they were added, (A,)."""
        return list(self._members)

    @property
    def losses(self) -> np.ndarray:
        """The losses of the members, (A, M)."""
        return self._rows[: self._used][self._alive[: self._used]]

    def add(self, genome: Genome, losses: np.ndarray) -> None:
        """Add a genome unless a member dominates it, and remove the members that it dominates.

        Args:
            genome: The canonical genome.
            losses: Its losses, (M,), finite.
        """
        rows = self._rows[: self._used]  # a genome that a former member dominates is dominated by a present one too
        if genome in self._members or dominates(rows, losses).any():
            return
        for row in np.flatnonzero(dominates(losses, rows) & self._alive[: self._used]).tolist():
            self._alive[row] = False
            del self._members[self._genomes[row]]
        if self._used == len(self._rows):
            self._make_room()
        self._rows[self._used], self._alive[self._used] = losses, True
        self._members[genome] = None
        self._genomes.append(genome)
        self._used += 1

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, genome: Genome) -> bool:
        return genome in self._members

    def _make_room(self) -> None:
        """Drop the rows of former members, and allocate as many free rows as there are members."""
        rows, genomes = self.losses, self.genomes
        room = max(16, 2 * len(genomes))
        self._rows, self._alive = np.empty((rows.shape[1], room)).T, np.zeros(room, dtype=bool)
        self._rows[: len(rows)], self._alive[: len(rows)] = rows, True
        self._genomes, self._used = genomes, len(genomes)


def dominates(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return whether `one` is nowhere worse than `other` and somewhere better, (..., M) and (..., M) -> (...)."""
    return np.asarray((one <= other).all(axis=-1) & (one < other).any(axis=-1))


def closest_to_ideal(losses: np.ndarray) -> int:
    """Return the row of a front that is closest to the ideal point, with each objective scaled to its range.

    Args:
        losses: The front, (A, M), finite, A > 0; lower is better.
    """
    span = np.ptp(losses, axis=0)
    scaled = (losses - losses.min(axis=0)) / np.where(span > 0, span, 1.0)
    return int(np.linalg.norm(scaled, axis=1).argmin())

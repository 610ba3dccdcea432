"""Hill climbing: single mutations, each taken if it is no step back."""

from __future__ import annotations

import numpy as np

from nasctl.api import Genome, Problem, promising
from nasctl.searchers._neighbours import covers, judged, neighbors

__all__ = ["HillClimb"]


class HillClimb:
    """First improvement from random genomes, which is the cheapest thing to do that uses what was learnt.

    The genomes that differ in one gene are evaluated one by one in random order, and the first that is better is moved
    to. Where none is, the next climb begins at a random genome. With several objectives a move is made to what the
    present genome does not weakly dominate, so a climb wanders along the front that it has reached.

    A network that was evaluated before is passed over; what breaks a constraint or failed gives way to what does so
    less.

    Args:
        problem: Where to search, and for what.
        rng: Source of all randomness.
    """

    def __init__(self, problem: Problem, rng: np.random.Generator) -> None:
        self._problem, self._space, self._rng = problem, problem.space, rng
        self._seen: set[Genome] = set()  # canonical genomes that were asked for
        self._near: list[Genome] = []  # neighbours that are still to be looked at, not canonical
        self._row: np.ndarray | None = None  # of the genome that the climb is at, as `judged` has it

    def ask(self) -> list[Genome]:
        while self._near:
            self._raw = self._near.pop()
            if self._space.canonical(self._raw) not in self._seen:
                return self._proposed()
        drawn = promising(self._problem, self._rng, 1, self._seen)
        if not drawn:
            return []
        (self._raw,), self._row = drawn, None
        return self._proposed()

    def tell(self, losses: np.ndarray, violations: np.ndarray) -> None:
        (row,) = judged(losses, violations)
        if self._row is None or not covers(self._row, row):
            self._row, self._near = row, neighbors(self._space, self._rng, self._raw)

    def _proposed(self) -> list[Genome]:
        genome = self._space.canonical(self._raw)
        self._seen.add(genome)
        return [genome]

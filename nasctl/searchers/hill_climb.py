"""Hill climbing: single mutations, accepted unless they are worse."""

from __future__ import annotations

import numpy as np

from nasctl.api import Genome, Problem, promising
from nasctl.searchers._neighbours import comparison_rows, neighbors, weakly_dominates

__all__ = ["HillClimb"]


class HillClimb:
    """First-improvement hill climbing from random genomes.

    The neighbours that differ in one gene are evaluated one by one in random order. The climb moves to the first better
    neighbour. If no neighbour is better, the next climb starts at a random genome. With several objectives, the climb
    moves to a neighbour that the current genome does not weakly dominate, so it wanders along the front that it has
    reached.

    Networks that were evaluated before are skipped. Among infeasible genomes, the smaller total violation is better.
    Failed genomes are worst.

    Args:
        problem: Search space, objectives and constraints.
        rng: Source of all randomness.
    """

    def __init__(self, problem: Problem, rng: np.random.Generator) -> None:
        self._problem, self._space, self._rng = problem, problem.space, rng
        self._seen: set[Genome] = set()  # canonical genomes that were proposed
        self._near: list[Genome] = []  # neighbours that remain to be evaluated, not canonical
        self._row: np.ndarray | None = None  # row of `comparison_rows` for the current genome

    def ask(self) -> list[Genome]:
        while self._near:
            self._raw = self._near.pop()
            if self._space.canonical(self._raw) not in self._seen:
                return self._propose()
        drawn = promising(self._problem, self._rng, 1, self._seen)
        if not drawn:
            return []
        (self._raw,), self._row = drawn, None
        return self._propose()

    def tell(self, losses: np.ndarray, violations: np.ndarray) -> None:
        (row,) = comparison_rows(losses, violations)
        if self._row is None or not weakly_dominates(self._row, row):
            self._row, self._near = row, neighbors(self._space, self._rng, self._raw)

    def _propose(self) -> list[Genome]:
        genome = self._space.canonical(self._raw)
        self._seen.add(genome)
        return [genome]

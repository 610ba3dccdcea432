"""Climbing from every network that nothing dominates yet."""

from __future__ import annotations

import numpy as np

from nasctl.api import Archive, Genome, Problem


class Climb:
    """Half of what it asks for is drawn at random, half is one gene away from the front.

    Args:
        problem: Where to search, and for how many objectives.
        rng: Source of all randomness.
        batch: Genomes in one ask.
    """

    def __init__(self, problem: Problem, rng: np.random.Generator, batch: int = 10) -> None:
        self._space, self._rng, self._batch = problem.space, rng, batch
        self._sizes = [len(gene.choices) for gene in problem.space.genes]  # (G,)
        self._front = Archive(len(problem.objectives))
        self._asked: list[Genome] = []

    def ask(self) -> list[Genome]:
        self._asked = [self._space.canonical(self._draw()) for _ in range(self._batch)]
        return self._asked

    def tell(self, losses: np.ndarray, violations: np.ndarray) -> None:
        kept = np.isfinite(losses).all(axis=1) & (violations <= 0).all(axis=1)
        for genome, row, keep in zip(self._asked, losses, kept, strict=True):
            if keep:
                self._front.add(genome, row)

    def _draw(self) -> Genome:
        fresh: list[int] = self._rng.integers(self._sizes).tolist()
        if not self._front.genomes or self._rng.random() < 0.5:
            return tuple(fresh)
        start = self._front.genomes[self._rng.integers(len(self._front.genomes))]
        place = self._rng.integers(len(start))
        return (*start[:place], fresh[place], *start[place + 1 :])

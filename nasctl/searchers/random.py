"""Random search: the baseline that every other searcher has to beat."""

from __future__ import annotations

import numpy as np

from nasctl.api import BadOption, Genome, Problem, promising

__all__ = ["RandomSearch"]


class RandomSearch:
    """Draws every gene uniformly, and no network twice; under constraints on costs, until enough genomes hold them.

    Args:
        problem: Where to search; for what is of no interest here.
        rng: Source of all randomness.
        batch: Genomes in one ask.
    """

    def __init__(self, problem: Problem, rng: np.random.Generator, batch: int = 20) -> None:
        if not 1 <= batch <= 10_000:
            raise BadOption(f"random needs a batch of 1 to 10,000, not batch={batch}")
        self._problem, self._space, self._rng, self._batch = problem, problem.space, rng, batch
        self._seen: set[Genome] = set()

    def ask(self) -> list[Genome]:
        drawn = [self._space.canonical(raw) for raw in promising(self._problem, self._rng, self._batch, self._seen)]
        self._seen |= set(drawn)
        return drawn

    def tell(self, losses: np.ndarray, violations: np.ndarray) -> None:
        pass

"""Random search, the baseline for every other searcher."""

from __future__ import annotations

import numpy as np

from nasctl.api import BadOption, Genome, Problem, promising

__all__ = ["RandomSearch"]


class RandomSearch:
    """Uniform random search without repeated networks.

    If there are constraints on costs, each batch consists of the genomes of a larger sample that satisfy them best.

    Args:
        problem: Search space and constraints; objectives are not used.
        rng: Source of all randomness.
        batch: Number of genomes per `ask`.
    """

    def __init__(self, problem: Problem, rng: np.random.Generator, batch: int = 20) -> None:
        if not 1 <= batch <= 10_000:
            raise BadOption(f"batch must be 1 to 10,000, got {batch} (option of random)")
        self._problem, self._space, self._rng, self._batch = problem, problem.space, rng, batch
        self._seen: set[Genome] = set()

    def ask(self) -> list[Genome]:
        drawn = [self._space.canonical(raw) for raw in promising(self._problem, self._rng, self._batch, self._seen)]
        self._seen |= set(drawn)
        return drawn

    def tell(self, losses: np.ndarray, violations: np.ndarray) -> None:
        pass

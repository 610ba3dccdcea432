"""Every choice of every gene equally often: strict fairness."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nasctl.api import Genome, Pass, StrategyContext

__all__ = ["Fair"]

TRIES = 20  # random orders that are tried for networks whose weights are all in the supernet


class Fair:
    """Train in each step as many networks as the longest gene has choices, so that all are trained equally often.

    The choices of each gene are in a random order, and network k has the k-th choice of every gene. A gene with fewer
    choices goes through them several times; the rest of the last time is a random part of them. Gradients of all
    networks are added up before the weights change. Where genomes are merged by `canonical`, choices without an effect
    are counted as trained. Where the supernet lacks the weights of some networks, the orders of a step are those of 20
    tries that lack the fewest; a network without its weights is left out, and its choices are trained less often.

    References:
        Chu et al., "FairNAS: rethinking evaluation fairness of weight sharing neural architecture search", ICCV 2021,
        arXiv:1907.01845, algorithm 1.
    """

    def __init__(self, context: StrategyContext) -> None:
        self._context = context
        self._counts = [len(gene.choices) for gene in context.space.genes]

    def passes(self, step: int) -> Sequence[Pass]:
        rng, number = self._context.rng(step), max(self._counts)
        held: list[Genome] = []
        for _ in range(TRIES):
            columns = [self._column(rng, count, number) for count in self._counts]
            genomes = [self._context.space.canonical(one) for one in zip(*columns, strict=True)]
            held = max(held, [one for one in genomes if self._context.holds(one)], key=len)
            if len(held) == number:
                break
        return tuple(Pass((one,)) for one in held) or (Pass((self._context.draw(rng),)),)

    def told(self, step: int, losses: Sequence[float], norms: Sequence[float]) -> None:
        pass

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        return {}

    @staticmethod
    def _column(rng: np.random.Generator, count: int, number: int) -> list[int]:
        """Return the choices of a gene in the networks of a step, (number,)."""
        rounds = -(-number // count)
        return [int(one) for _ in range(rounds) for one in rng.permutation(count)][:number]

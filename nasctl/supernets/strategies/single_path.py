"""One random network a step: single-path one-shot training."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from nasctl.api import BadOption, Genome, Pass, StrategyContext

__all__ = ["SinglePath"]

KEEP = 0.9  # share of the old mean in each exponential mean of gradient norms

TRIES = 100  # genomes that are drawn by gradient norms before one with uniform genes is taken

SLOWEST, FASTEST = 4.0, 0.25  # exponents of the smallest and the largest network; DYNAS's own


class SinglePath:
    """Train one network a step, drawn with uniform genes.

    `sampling=gradient` moves the probabilities of each gene's choices from uniform to their shares of the mean gradient
    norms, in step with the training (PA&DA). The norm of a choice is an exponential mean over the networks that have
    it. PA&DA takes the gradient of the choice's own weights, and also draws training examples by importance.

    `calr` multiplies the learning rate of each network by (1 - t)^g, where t is the share of the training that is done.
    The exponent g is linear in the logarithm of the network's parameters, from 4 for the smallest network to 1/4 for
    the largest (the complexity-aware learning rate of DYNAS). It replaces a schedule, so the recipe should have
    `schedule=constant`.

    Args:
        sampling: "uniform", or "gradient" for probabilities that follow gradient norms.
        calr: Whether small networks have an ever lower learning rate.

    References:
        Guo et al., "Single path one-shot neural architecture search with uniform sampling", ECCV 2020,
        arXiv:1904.00420. Lu et al., "PA&DA: jointly sampling path and data for consistent NAS", CVPR 2023,
        arXiv:2302.14772. Jeon et al., "Subnet-aware dynamic supernet training for neural architecture
        search", CVPR 2025, arXiv:2503.10740.
    """

    def __init__(self, context: StrategyContext, sampling: str = "uniform", calr: bool = False) -> None:
        if sampling not in ("uniform", "gradient"):
            raise BadOption(f"Cannot use single_path with sampling={sampling}. Give sampling=uniform or gradient.")
        self._context, self._calr = context, calr
        self.reads_norms = sampling == "gradient"
        counts = [len(gene.choices) for gene in context.space.genes]
        self._starts = np.cumsum([0, *counts[:-1]])  # of the choices of each gene in the arrays
        self._norms, self._seen = np.zeros(sum(counts)), np.zeros(sum(counts), np.int64)

    def passes(self, step: int) -> Sequence[Pass]:
        return (Pass((self._draw(step),)),)

    def rate_factor(self, step: int) -> float:
        return self._factor(self._draw(step), step) if self._calr else 1.0

    def told(self, step: int, losses: Sequence[float], norms: Sequence[float]) -> None:
        for norm in norms:
            if math.isfinite(norm):  # the training goes back after a step without a finite gradient
                (trained,) = self.passes(step)
                places = self._starts + trained.genomes[0]
                keep = np.where(self._seen[places], KEEP, 0.0)
                self._norms[places] = keep * self._norms[places] + (1 - keep) * norm
                self._seen[places] += 1

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        return {"norms": self._norms, "seen": self._seen} if self.reads_norms else {}

    def _draw(self, step: int) -> Genome:
        """Return the network of a step."""
        rng, context = self._context.rng(step), self._context
        if self.reads_norms:
            tables = self._probabilities(step / context.steps)
            for _ in range(TRIES):
                genome = context.space.canonical(tuple(int(rng.choice(len(one), p=one)) for one in tables))
                if context.holds(genome):
                    return genome
        return context.draw(rng)

    def _probabilities(self, done: float) -> list[np.ndarray]:
        """Return the probability of each choice of each gene, (choices,)."""
        found = []
        for norms, seen in zip(*(np.split(one, self._starts[1:]) for one in (self._norms, self._seen)), strict=True):
            uniform = np.full(len(norms), 1 / len(norms))
            if norms.sum() > 0:  # a choice without a norm has the mean of the others
                filled = np.where(seen > 0, norms, norms[seen > 0].mean())
                uniform = (1 - done) * uniform + done * filled / filled.sum()
            found.append(uniform)
        return found

    def _factor(self, genome: Genome, step: int) -> float:
        """Return the factor of a network's learning rate."""
        context = self._context
        fewest, own, most = (
            math.log(max(1, context.space.network(one).params)) for one in (context.smallest, genome, context.largest)
        )
        share = min(1.0, max(0.0, (own - fewest) / (most - fewest))) if most > fewest else 1.0
        exponent = SLOWEST + (FASTEST - SLOWEST) * share
        return float((1 - step / context.steps) ** exponent)

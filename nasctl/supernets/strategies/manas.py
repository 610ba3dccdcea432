"""A bandit for each gene learns which choices have low losses, while the networks that it draws are trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from nasctl.api import ChoiceBandit, Genome, Pass, StepBatch, StepNetworks, StrategyContext
from nasctl.supernets.strategies._choices import (
    ChoiceHistory,
    drawn_pair,
    loss_of_chance,
    most_probable_genome,
)

__all__ = ["Manas"]


class Manas:
    """Train the network that a bandit for each gene draws, and tell the bandits its loss on other examples (MANAS).

    Each step draws one network. Its weights learn from the first half of the batch, and its loss on the second half,
    before the weights change, is the loss of the bandits: 1 is that of guessing, and larger losses count as 1. One
    network is in memory at a time, so every space can be searched.

    Args:
        eta: Learning rate of the bandits; 0 for sqrt(2 ln K / (T K)), for T steps and a gene with K choices.
        estimate: "weighted" for losses divided by their probability (EXP3), "ridge" for least squares of the losses on
            the choices of all genes (MANAS-LS).
        zipf: Draw the choice of rank r with a probability in proportion to 1/r.

    References:
        Carlucci et al., "MANAS: multi-agent neural architecture search", arXiv:1909.01051.
    """

    splits_examples = True

    def __init__(
        self, context: StrategyContext, eta: float = 0.0, estimate: str = "weighted", zipf: bool = False
    ) -> None:
        counts = [len(gene.choices) for gene in context.space.genes]
        self._context, self.chance = context, loss_of_chance(context)
        self._bandit = ChoiceBandit(counts, context.steps, eta, estimate, zipf)
        self._history = ChoiceHistory(counts, context.steps)
        self._history.note(-1, self._bandit.probabilities)

    def passes(self, step: int) -> Sequence[Pass]:
        _, genome = self._drawn(step)
        return Pass((genome,)), Pass((genome,))  # the second one is measured alone

    def losses(self, step: int, passes: Sequence[Pass], batch: StepBatch, networks: StepNetworks) -> Iterator[Tensor]:
        own, other = batch.halves()
        genome = passes[0].genomes[0]
        yield own.loss(networks.outputs(genome, own.inputs()))
        with torch.no_grad():
            yield other.loss(networks.outputs(genome, other.inputs()))

    def told(self, step: int, losses: Sequence[float], norms: Sequence[float]) -> None:
        raw, _ = self._drawn(step)
        if raw is not None:
            self._bandit.learn([raw], [float(np.minimum(1.0, losses[1] / self.chance))])
        self._history.note(step, self._bandit.probabilities)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        return {**self._bandit.arrays, "history": self._history.array}

    def probabilities(self) -> Sequence[np.ndarray]:
        return self._bandit.probabilities()

    def chosen(self) -> Genome:
        return most_probable_genome(self._context, self.probabilities())

    def _drawn(self, step: int) -> tuple[Genome | None, Genome]:
        """Return the raw and the canonical genome of a step; see `drawn_pair`."""
        return drawn_pair(self._context, self.probabilities(), self._context.rng(step))

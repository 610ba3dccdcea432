"""A recurrent controller learns which networks are accurate, while the networks that it draws are trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from nasctl.api import (
    BadOption,
    ChoiceController,
    ControllerOptions,
    Genome,
    Pass,
    StepBatch,
    StepNetworks,
    StrategyContext,
)
from nasctl.supernets.strategies._choices import ChoiceHistory, loss_of_chance, most_probable_genome

__all__ = ["Enas"]

TRIES = 100  # genomes that are drawn from the controller for one whose weights are in the supernet


class Enas:
    """Train a network that an LSTM draws gene by gene, and reward the LSTM for networks that do well on other examples.

    Each step draws a network to train on the first half of the batch, and `scored` networks that are judged on the
    second half, before the weights change. Their rewards train the controller by REINFORCE: the accuracy, or the
    inverse of the perplexity for words. ENAS alternates between epochs of either; here every step does both.

    With `memory`, the hidden state also learns to tell the choices that it has read, on networks drawn before, so that
    what it draws can depend on them. `nasctl supernet controller` shows whether it does.

    Args:
        memory: Whether to train the hidden state so (Adam & Lorraine).
        buffer: Networks that the memory holds.
        hidden: Units of the LSTM.
        rate: Learning rate of Adam.
        entropy: Weight of the entropy.
        decay: Share of the old baseline in the moving average of rewards.
        scored: Networks that each step rewards.

    References:
        Pham et al., "Efficient neural architecture search via parameter sharing", ICML 2018, arXiv:1802.03268. Adam &
        Lorraine, "Understanding neural architecture search techniques", arXiv:1904.00438.
    """

    splits_examples = True

    def __init__(
        self,
        context: StrategyContext,
        memory: bool = False,
        buffer: int = 1000,
        hidden: int = 64,
        rate: float = 0.0035,
        entropy: float = 1e-4,
        decay: float = 0.95,
        scored: int = 1,
    ) -> None:
        if scored < 1:
            raise BadOption(f"Cannot use enas with scored={scored}. Give 1 or more.")
        counts = [len(gene.choices) for gene in context.space.genes]
        self._context, self._scored, self.chance = context, scored, loss_of_chance(context)
        options = ControllerOptions(hidden, rate, entropy, decay, memory, buffer)
        self.controller = ChoiceController(counts, context.seed, options)
        self._history = ChoiceHistory(counts, context.steps)
        self._history.note(-1, self.controller.probabilities)

    def passes(self, step: int) -> Sequence[Pass]:
        return tuple(Pass((genome,)) for _, genome in self._drawn(self._context.rng(step)))

    def losses(self, step: int, passes: Sequence[Pass], batch: StepBatch, networks: StepNetworks) -> Iterator[Tensor]:
        own, other = batch.halves()
        trained, *scored = (one.genomes[0] for one in passes)
        yield own.loss(networks.outputs(trained, own.inputs()))
        for genome in scored:
            with torch.no_grad():
                yield 1 - other.quality(networks.outputs(genome, other.inputs()))

    def told(self, step: int, losses: Sequence[float], norms: Sequence[float]) -> None:
        rng = self._context.rng(step)
        _, *scored = self._drawn(rng)
        self.controller.learn([raw for raw, _ in scored], [1 - loss for loss in losses[1:]], rng)
        self._history.note(step, self.controller.probabilities)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        return {**self.controller.arrays, "history": self._history.array}

    def probabilities(self) -> Sequence[np.ndarray]:
        return self.controller.probabilities()

    def chosen(self) -> Genome:
        genome = self._context.space.canonical(self.controller.likeliest())
        return genome if self._context.holds(genome) else most_probable_genome(self._context, self.probabilities())

    def draw(self, rng: np.random.Generator) -> Genome:
        return self._pair(self.controller.draw(rng)[0], rng)[1]

    def _drawn(self, rng: np.random.Generator) -> list[tuple[Genome, Genome]]:
        """Return raw and canonical genomes of a step: the one to train, and those to judge."""
        return [self._pair(raw, rng) for raw in self.controller.draw(rng, 1 + self._scored)]

    def _pair(self, raw: Genome, rng: np.random.Generator) -> tuple[Genome, Genome]:
        """Return a raw genome and its canonical one; another one is drawn if its weights are not in the supernet."""
        for _ in range(TRIES):
            if self._context.holds(genome := self._context.space.canonical(raw)):
                return raw, genome
            (raw,) = self.controller.draw(rng)
        genome = self._context.draw(rng)
        return genome, genome

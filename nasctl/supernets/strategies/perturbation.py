"""Genes of a trained supernet are decided one by one, with training between two decisions: DARTS-PT."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from nasctl.api import BadOption, Genome, MixableSpace, Pass, StepBatch, StepNetworks, StrategyContext
from nasctl.supernets.strategies._choices import ChoiceHistory, loss_of_chance, most_probable_genome
from nasctl.supernets.strategies._kinds import StoredKinds
from nasctl.supernets.strategies._selection import ChoiceRemoval

__all__ = ["Perturbation"]


class Perturbation:
    """Train the mixture of a trained supernet's choices, and decide its genes one by one by removing choices.

    The steps are divided among the genes, in a random order. In the last quarter of its steps, the losses of the
    mixture without each choice of a gene are measured on the half of the examples that weights are not learned from,
    and the gene keeps the choice whose removal hurts most. All these steps train the weights of the mixture of the
    choices that are left.

    The factor of a choice is the probability that the given supernet has learned, or an equal share if its strategy
    learns no choices. Factors do not change until their gene is decided.

    The recipe decides the learning rate, with its whole schedule, where DARTS-PT trains on at a tenth of the rate.

    In spaces whose networks sum operations, mixtures sum the outputs of choices. In all others, and for a supernet of
    `tangle`, weights are masked. Genes whose choices are no slices then keep what the given supernet has chosen, or the
    choices of the largest network.

    References:
        Wang et al., "Rethinking architecture selection in differentiable NAS" (DARTS-PT), ICLR 2021, arXiv:2108.04392,
        algorithm 1.
    """

    splits_examples = True

    def __init__(self, context: StrategyContext) -> None:
        self._context, genes = context, context.space.genes
        self._counts = [len(gene.choices) for gene in genes]
        self._given = np.zeros((len(genes), max(self._counts)))  # factors of choices
        for row, count in zip(self._given, self._counts, strict=True):
            row[:count] = 1 / count
        self._kept = np.array(context.largest, np.int64)  # choices of genes that are not decided
        self._masks = np.array(not isinstance(context.space, MixableSpace))
        self._kinds = StoredKinds(context)
        self._removal = ChoiceRemoval(context, self._decidable, part=1.0)
        self._history = ChoiceHistory(self._counts, context.steps)
        self.chance = loss_of_chance(context)

    @property
    def mixes_slices(self) -> bool:
        """Whether mixtures have masked weights."""
        return bool(self._masks)

    def begin_with(self, probabilities: Sequence[np.ndarray], chosen: Genome | None, mixes_slices: bool) -> None:
        """Take over what the given supernet has learned; see `nasctl.problem.strategy.StartsFromSupernet`."""
        for row, own in zip(self._given, probabilities, strict=False):
            row[: len(own)] = own
        if chosen is not None:
            self._kept[:] = chosen
        self._masks |= mixes_slices

    def passes(self, step: int) -> Sequence[Pass]:
        if not any(self._counts[gene] > 1 for gene in self._decidable()):
            raise BadOption(
                "Cannot decide choices by perturbation: no choice of a gene has a slice of another one's weights. Give"
                " --share entangled, or another strategy."
            )
        self._removal.check()
        return (Pass((self.chosen(),)),)

    def losses(self, step: int, passes: Sequence[Pass], batch: StepBatch, networks: StepNetworks) -> Iterator[Tensor]:
        own, other = batch.halves()
        inputs, removal = own.inputs(), self._removal
        if step == 0:
            self._history.note(-1, self.probabilities)
        mixed = [gene for gene in self._decidable() if self._counts[gene] > 1]
        rows = {gene: self._given[gene, : self._counts[gene]] for gene in mixed}
        factors = {gene: torch.tensor(row, dtype=torch.float32, device=inputs[0].device) for gene, row in rows.items()}
        kind = removal.masked if self.mixes_slices else removal.summed
        removal.measure(step, kind(networks, factors, frozen=True), other, networks)
        yield own.loss(kind(networks, factors)(removal.allowed, inputs))

    def told(self, step: int, losses: Sequence[float], norms: Sequence[float]) -> None:
        self._removal.told(step, [row[:count] for row, count in zip(self._given, self._counts, strict=True)])
        self._history.note(step, self.probabilities)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        own = {"given": self._given, "kept": self._kept, "masks": self._masks, "kinds": self._kinds.array}
        return {**own, **self._removal.arrays, "history": self._history.array}

    def probabilities(self) -> list[np.ndarray]:
        """Return the probabilities of all choices: 1 for those that are decided or kept, and factors for others."""
        decidable = set(self._decidable())
        found = [
            row[:count].copy() if gene in decidable else np.eye(count)[self._kept[gene]]
            for gene, (row, count) in enumerate(zip(self._given, self._counts, strict=True))
        ]
        return self._removal.distribution(found)

    def chosen(self) -> Genome:
        """Return the genome of the decided choices, and of the most probable ones of genes that are not decided yet."""
        return most_probable_genome(self._context, self.probabilities())

    def _decidable(self) -> Sequence[int]:
        """Return the places of the genes that are decided."""
        return self._kinds.mixed() if self.mixes_slices else range(len(self._counts))

"""Choices are learned by gradients through one network whose weights are mixtures of slices: TangleNAS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from nasctl.api import BadOption, Genome, Pass, StepBatch, StepNetworks, StrategyContext
from nasctl.supernets.strategies._alphas import Alphas, gradients
from nasctl.supernets.strategies._choices import ChoiceHistory, loss_of_chance, most_probable_genome
from nasctl.supernets.strategies._kinds import StoredKinds
from nasctl.supernets.strategies._selection import ChoiceRemoval, removal_of

__all__ = ["Tangle"]


class Tangle:
    """Train the largest network with masked weights, and learn its masks, which are sums over choices of the genes.

    Each number of a shared weight is multiplied by the sum of the factors of the choices that have it, so that all
    choices of a kernel, a width, a depth or a number of heads are mixed in one forward pass. In a step, the factors
    learn from examples of the second half of the training examples, and then the weights from those of the first half.

    In spaces that sum the outputs of several operations, such as nb201, operations that are slices of each other run
    once, and all others as in `darts`. That needs `share=entangled`.

    Genes whose choices change no weights, such as resolutions, are drawn uniformly in each step and not learned.

    With `select=perturbation`, genes are decided one by one in the last third of the steps, by the loss of the masked
    network without each choice (DARTS-PT). The learned parameters are fixed then.

    Args:
        method: How factors follow from the learned parameters: "darts", "drnas" or "gdas".
        rate: Learning rate of the parameters of choices.
        decay: Their weight decay.
        warmup: Share of the training before the choices begin to learn.
        others: What becomes of genes whose choices are neither slices of the largest network's weights nor mixable:
            "refuse", or "keep" for the choice of the largest network.
        select: "argmax" or "perturbation".

    References:
        Sukthanker et al., "Weight-entanglement meets gradient-based neural architecture search", AutoML 2024,
        arXiv:2312.10440.
    """

    splits_examples = True
    mixes_slices = True
    later_options = frozenset({"select"})  # trainings from before it was an option keep their names

    def __init__(
        self,
        context: StrategyContext,
        method: str = "darts",
        rate: float = 3e-4,
        decay: float = 1e-3,
        warmup: float = 0.0,
        others: str = "refuse",
        select: str = "argmax",
    ) -> None:
        if not 0 <= warmup < 1:
            raise BadOption(f"Cannot begin to learn choices at warmup={warmup:g}. Give 0 or more and less than 1.")
        if others not in ("refuse", "keep"):
            raise BadOption(f"Cannot use tangle with others={others}. Give others=refuse or keep.")
        self._context, self._begins = context, warmup * context.steps
        self._alphas = Alphas(context, method, rate, decay)
        self._kinds, self._others = StoredKinds(context), others
        self._removal = removal_of(context, select, self._kinds.mixed)
        self.chance = loss_of_chance(context)
        self._history = ChoiceHistory(self._alphas.counts, context.steps)

    def passes(self, step: int) -> Sequence[Pass]:
        _check_genes(self._context, self._kinds(), self._others)
        if self._removal is not None:
            self._removal.check()
        return (Pass((self._context.largest,)),)

    def losses(self, step: int, passes: Sequence[Pass], batch: StepBatch, networks: StepNetworks) -> Iterator[Tensor]:
        rng, (first, second) = self._context.rng(step), batch.halves()
        fixed = self._drawn(rng)
        if step == 0:
            self._history.note(-1, self.probabilities)
        if self._removal is not None and self._removal.begun(step):
            yield self._deciding(self._removal, step, fixed, first, second, networks)
            return
        if step >= self._begins:
            leaves, inputs = self._alphas.leaves(), second.inputs()
            outputs = networks.entangled(self._factors(leaves, step, rng, fixed, inputs), inputs, frozen=True)
            leaves = self._alphas.updated(gradients(second.loss(outputs), leaves), second.size, networks)
        else:
            leaves = self._alphas.leaves()
        inputs = first.inputs()
        with torch.no_grad():
            factors = self._factors(leaves, step, rng, fixed, inputs)
        yield first.loss(networks.entangled(factors, inputs))

    def _deciding(
        self,
        removal: ChoiceRemoval,
        step: int,
        fixed: Mapping[int, int],
        first: StepBatch,
        second: StepBatch,
        networks: StepNetworks,
    ) -> Tensor:
        """Return the loss of the weights in a step that decides genes. Factors are the expected ones.

        Args:
            removal: The decisions.
            step: The step.
            fixed: Choices of the genes that are drawn in each step.
            first: The examples that the weights learn from.
            second: The examples that genes are decided by.
            networks: The networks of the step.
        """
        inputs = first.inputs()
        expected = [torch.tensor(one, dtype=torch.float32) for one in self._alphas.probabilities()]
        factors = self._mixable({gene: one for gene, one in enumerate(expected) if len(one) > 1}, fixed, inputs)
        removal.measure(step, removal.masked(networks, factors, frozen=True), second, networks)
        return first.loss(removal.masked(networks, factors)(removal.allowed, inputs))

    def told(self, step: int, losses: Sequence[float], norms: Sequence[float]) -> None:
        self._alphas.settle()
        if self._removal is not None:
            self._removal.told(step, self._alphas.probabilities())
        self._history.note(step, self.probabilities)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        own = {} if self._removal is None else self._removal.arrays
        return {**self._alphas.arrays, **own, "history": self._history.array, "kinds": self._kinds.array}

    def probabilities(self) -> list[np.ndarray]:
        """Return the probability of each choice, which is uniform for genes that are drawn."""
        found = self._alphas.probabilities()
        for gene, (kind, own) in enumerate(zip(self._kinds(), found, strict=True)):
            if kind == "free":
                own[:] = 1 / len(own)
            elif kind == "other":
                own[:] = np.arange(len(own)) == self._context.largest[gene]
        return found if self._removal is None else self._removal.distribution(found)

    def chosen(self) -> Genome:
        """Return the genome of the most probable choices; genes that are drawn have those of the largest network."""
        found = self.probabilities()
        for gene, (kind, own) in enumerate(zip(self._kinds(), found, strict=True)):
            if kind == "free":
                own[:] = np.arange(len(own)) == self._context.largest[gene]
        return most_probable_genome(self._context, found)

    def _drawn(self, rng: np.random.Generator) -> dict[int, int]:
        """Return the choices of the genes that are drawn in each step."""
        genes = self._context.space.genes
        return {
            gene: int(rng.integers(len(genes[gene].choices))) for gene, k in enumerate(self._kinds()) if k == "free"
        }

    def _factors(
        self,
        leaves: Sequence[Tensor],
        step: int,
        rng: np.random.Generator,
        fixed: Mapping[int, int],
        inputs: Sequence[Tensor],
    ) -> dict[int, Tensor]:
        """Return the factors of the choices of all genes that have some."""
        return self._mixable(self._alphas.factors(leaves, rng, step / self._context.steps), fixed, inputs)

    def _mixable(
        self, found: Mapping[int, Tensor], fixed: Mapping[int, int], inputs: Sequence[Tensor]
    ) -> dict[int, Tensor]:
        """Return the factors of the genes that can have some, on the device of the inputs; drawn ones have 0 and 1."""
        device, kinds = inputs[0].device, self._kinds()
        one_hot = {gene: torch.eye(len(found[gene]))[choice] for gene, choice in fixed.items() if gene in found}
        return {gene: one_hot.get(gene, own).to(device) for gene, own in found.items() if kinds[gene] != "other"}


def _check_genes(context: StrategyContext, kinds: Sequence[str], others: str) -> None:
    """Raise a `BadOption` if there is nothing to learn, or a gene that cannot be learned."""
    genes = context.space.genes
    names = [gene.name for gene, kind in zip(genes, kinds, strict=True) if kind == "other"]
    if not any(kind == "sliced" and len(gene.choices) > 1 for gene, kind in zip(genes, kinds, strict=True)):
        remedy = "Give --share entangled, or choose" if "mixed" in kinds else "Choose"
        raise BadOption(
            "Cannot entangle the choices of this space: no choice of a gene has a slice of another one's weights."
            f" {remedy} another strategy, such as single_path."
        )
    if names and others == "refuse":
        some = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        raise BadOption(
            f"Cannot entangle the choices of {some}: they are not slices of the largest network's weights. Give"
            " tangle:others=keep to keep the largest network's choices of these genes, or choose another strategy."
        )

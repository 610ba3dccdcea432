"""Choices are learned by gradients through one network whose weights are mixtures of slices: TangleNAS."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from nasctl.api import BadOption, Genome, Pass, StepBatch, StepNetworks, StrategyContext
from nasctl.supernets.strategies._alphas import Alphas, gradients
from nasctl.supernets.strategies._choices import ChoiceHistory, loss_of_chance, most_probable_genome

__all__ = ["Tangle"]

KINDS = ("sliced", "mixed", "free", "other")  # codes of kinds of genes, in `Tangle.arrays`

UNKNOWN = -1


class Tangle:
    """Train the largest network with masked weights, and learn its masks, which are sums over choices of the genes.

    Each number of a shared weight is multiplied by the sum of the factors of the choices that have it, so that all
    choices of a kernel, a width, a depth or a number of heads are mixed in one forward pass. In a step, the factors
    learn from examples of the second half of the training examples, and then the weights from those of the first half.

    In spaces that sum the outputs of several operations, such as nb201, operations that are slices of each other run
    once, and all others as in `darts`. That needs `share=entangled`.

    Genes whose choices change no weights, such as resolutions, are drawn uniformly in each step and not learned.

    Args:
        method: How factors follow from the learned parameters: "darts", "drnas" or "gdas".
        rate: Learning rate of the parameters of choices.
        decay: Their weight decay.
        warmup: Share of the training before the choices begin to learn.
        others: What becomes of genes whose choices are neither slices of the largest network's weights nor mixable:
            "refuse", or "keep" for the choice of the largest network.

    References:
        Sukthanker et al., "Weight-entanglement meets gradient-based neural architecture search", AutoML 2024,
        arXiv:2312.10440.
    """

    splits_examples = True
    mixes_slices = True

    def __init__(
        self,
        context: StrategyContext,
        method: str = "darts",
        rate: float = 3e-4,
        decay: float = 1e-3,
        warmup: float = 0.0,
        others: str = "refuse",
    ) -> None:
        if not 0 <= warmup < 1:
            raise BadOption(f"Cannot begin to learn choices at warmup={warmup:g}. Give 0 or more and less than 1.")
        if others not in ("refuse", "keep"):
            raise BadOption(f"Cannot use tangle with others={others}. Give others=refuse or keep.")
        self._context, self._begins = context, warmup * context.steps
        self._alphas = Alphas(context, method, rate, decay)
        # Stored, since it takes seconds to find the kinds out, and weights are used without a training too.
        self._codes, self._others = np.full(len(context.space.genes), UNKNOWN), others
        self.chance = loss_of_chance(context)
        self._history = ChoiceHistory(self._alphas.counts, context.steps)

    def passes(self, step: int) -> Sequence[Pass]:
        self._kinds()  # refuses a space before its first step
        return (Pass((self._context.largest,)),)

    def losses(self, step: int, passes: Sequence[Pass], batch: StepBatch, networks: StepNetworks) -> Iterator[Tensor]:
        rng, (first, second) = self._context.rng(step), batch.halves()
        fixed = self._drawn(rng)
        if step == 0:
            self._history.note(-1, self.probabilities)
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

    def told(self, step: int, losses: Sequence[float], norms: Sequence[float]) -> None:
        self._alphas.settle()
        self._history.note(step, self.probabilities)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        return {**self._alphas.arrays, "history": self._history.array, "kinds": self._codes}

    def probabilities(self) -> list[np.ndarray]:
        """Return the probability of each choice, which is uniform for genes that are drawn."""
        found = self._alphas.probabilities()
        for gene, (kind, own) in enumerate(zip(self._kinds(), found, strict=True)):
            if kind == "free":
                own[:] = 1 / len(own)
            elif kind == "other":
                own[:] = np.arange(len(own)) == self._context.largest[gene]
        return found

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
        fixed: dict[int, int],
        inputs: Sequence[Tensor],
    ) -> dict[int, Tensor]:
        """Return the factors of the choices of all genes that have some."""
        device = inputs[0].device
        found = self._alphas.factors(leaves, rng, step / self._context.steps, device)
        one_hot = {gene: torch.eye(len(leaves[gene]), device=device)[choice] for gene, choice in fixed.items()}
        kinds = self._kinds()
        return {gene: one_hot.get(gene, own) for gene, own in found.items() if kinds[gene] != "other"}

    def _kinds(self) -> list[str]:
        """Return the kind of each gene.

        Raises:
            BadOption: There is nothing to learn, or a gene that cannot be learned.
        """
        if (self._codes == UNKNOWN).any():
            found = self._context.gene_kinds()
            _check_genes(self._context, found, self._others)
            self._codes[:] = [KINDS.index(kind) for kind in found]
        return [KINDS[code] for code in self._codes]


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

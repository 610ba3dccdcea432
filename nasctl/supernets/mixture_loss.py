"""The loss of a trained supernet as one network that sums several choices of each gene."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import torch

from nasctl.errors import NasctlError
from nasctl.problem.space import Genome, MixableSpace
from nasctl.problem.strategy import LearnsChoices, MixesSlices, ScoresGenomes
from nasctl.problem.strategy_step import GeneKind
from nasctl.supernets.context import TrainingContext
from nasctl.supernets.step_networks import SharedNetworks
from nasctl.supernets.subnet_draws import distribution_of
from nasctl.supernets.trained_supernet import TrainedSupernet
from nasctl.supernets.validation import learning_of, stored_batches
from nasctl.training.events import Ranks

BATCH = 100  # examples that the statistics of norms are taken over


class MixtureLoss:
    """The validation loss of the mixture of allowed choices, with the weights of a trained supernet.

    Mixtures are sums of outputs as in `StepNetworks.mixed`, or have masked weights as in `StepNetworks.entangled` where
    the strategy trains such or the space has no other. Masks cannot say the choices of each gene; the others are in
    `fixed`.

    The factor of a choice is its probability, or an equal share if the strategy learns no choices. As in the authors'
    code of DARTS-PT, factors keep their values when another choice of the gene is removed, until the gene is decided:
    then its choice has the factor 1. Norms use the statistics of each batch.

    Args:
        supernet: The supernet.
        images: Validation examples to evaluate on; all of the file are taken if there are fewer.

    Attributes:
        fixed: Choices of the genes that no mixture has, by the place of the gene: those that the strategy has chosen,
            or those of the largest network if it learns none.

    Raises:
        NasctlError: The supernet has no such loss.
    """

    def __init__(self, supernet: TrainedSupernet, images: int) -> None:
        context = TrainingContext(supernet.weights.hull, supernet.facts.seed, supernet.facts.steps)
        _check(supernet, context.largest)
        self._networks = SharedNetworks(supernet.weights, Ranks(), context)
        self._learning = learning_of(supernet, context.largest)
        self._factors = [torch.from_numpy(one).float() for one in distribution_of(supernet)]
        strategy = supernet.strategy
        sliced = isinstance(strategy, MixesSlices) and strategy.mixes_slices
        self._summed = isinstance(supernet.space, MixableSpace) and not sliced
        self._kinds = None if self._summed else context.gene_kinds()
        self.fixed = {} if self._kinds is None else _fixed(supernet, context.largest, self._kinds)
        examples, labels = (torch.cat(one) for one in zip(*stored_batches(supernet, images), strict=True))
        parts = -(-len(labels) // BATCH)  # of nearly equal size: the statistics of a few examples would be noise
        self._batches = list(zip(examples.tensor_split(parts), labels.tensor_split(parts), strict=True))

    @torch.no_grad()
    def __call__(self, allowed: Sequence[Sequence[int]], decided: Collection[int]) -> np.ndarray:
        """Return the loss of the mixture of the allowed choices of each gene, (1,).

        Args:
            allowed: The choices that are left, (genes,).
            decided: Places of the genes whose only choice has the factor 1.
        """
        total = weight = 0.0
        for examples, labels in self._batches:
            prepared = self._learning.evaluation(examples, labels)
            if self._summed:
                outputs = self._networks.mixed(allowed, self._kept(allowed, decided), prepared.inputs, frozen=True)
            else:
                outputs = self._networks.entangled(self._masked(allowed, decided), prepared.inputs, frozen=True)
            own = float(self._learning.weight(prepared.targets))
            total += own * float(self._learning.loss(outputs, prepared.targets))
            weight += own
        return np.array([total / weight])

    def _kept(self, allowed: Sequence[Sequence[int]], decided: Collection[int]) -> dict[int, torch.Tensor]:
        """Return the factors of the allowed choices of each gene that is not decided."""
        left = {gene: list(choices) for gene, choices in enumerate(allowed) if gene not in decided}
        return {gene: self._factors[gene][choices] for gene, choices in left.items()}

    def _masked(self, allowed: Sequence[Sequence[int]], decided: Collection[int]) -> dict[int, torch.Tensor]:
        """Return the factors of all choices of each gene that has masks, which are 0 for those that are not allowed."""
        found = {}
        for gene, choices in enumerate(allowed):
            if self._kinds is not None and self._kinds[gene] == "other":
                continue  # only the largest network's choice can run
            found[gene] = torch.zeros_like(self._factors[gene])
            found[gene][list(choices)] = 1.0 if gene in decided else self._factors[gene][list(choices)]
        return found


def _fixed(supernet: TrainedSupernet, largest: Genome, kinds: Sequence[GeneKind]) -> dict[int, int]:
    """Return the choices of the genes that no mixture has.

    Raises:
        NasctlError: No gene is left.
    """
    genes, strategy = supernet.space.genes, supernet.strategy
    fixed = [gene for gene, kind in enumerate(kinds) if kind in ("other", "free")]
    if all(len(gene.choices) == 1 or place in fixed for place, gene in enumerate(genes)):
        raise NasctlError(
            f"Cannot remove choices of the supernet {supernet.name}: no choice of a gene of {supernet.facts.space} has"
            f" a slice of another one's weights. {_otherwise(supernet)}"
        )
    kept = strategy.chosen() if isinstance(strategy, LearnsChoices) else largest
    return {gene: kept[gene] for gene in fixed}


def _check(supernet: TrainedSupernet, largest: Genome) -> None:
    """Raise a `NasctlError` unless a mixture of a supernet's choices has a loss."""
    start, strategy = f"Cannot remove choices of the supernet {supernet.name}", supernet.facts.strategy
    if isinstance(supernet.strategy, ScoresGenomes):
        raise NasctlError(f"{start}: its strategy, {strategy}, trains no classifier. {_otherwise(supernet)}")
    if supernet.has_several_copies:
        raise NasctlError(
            f"{start}: its strategy, {strategy}, has several copies of the weights, so there is no one network of all"
            f" choices. {_otherwise(supernet)}"
        )
    masked = not isinstance(supernet.space, MixableSpace)  # mixtures have slices of the largest network's weights alone
    if not (supernet.weights.is_trained(largest, 0) if masked else supernet.weights.visits[0].all()):
        raise NasctlError(
            f"{start}: no step of its training has reached some weights. Train for longer. {_otherwise(supernet)}"
        )


def _otherwise(supernet: TrainedSupernet) -> str:
    return f"Use nasctl supernet select {supernet.name} --by top-samples, which needs no mixture."


__all__ = ["MixtureLoss"]

"""The loss of a trained supernet as one network that sums several choices of each gene."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from nasctl.errors import NasctlError
from nasctl.problem.space import MixableSpace
from nasctl.problem.strategy import ScoresGenomes
from nasctl.supernets.context import TrainingContext
from nasctl.supernets.step_networks import SharedNetworks
from nasctl.supernets.subnet_draws import distribution_of
from nasctl.supernets.trained_supernet import TrainedSupernet
from nasctl.supernets.validation import learning_of, stored_batches
from nasctl.training.events import Ranks

BATCH = 100  # examples that the statistics of norms are taken over


class MixtureLoss:
    """The validation loss of the mixture of allowed choices, with the weights of a trained supernet.

    The factor of a choice is its probability, or an equal share if the strategy learns no choices. As in the authors'
    code of DARTS-PT, factors keep their values when another choice of the gene is removed. The only choice of a gene
    has the factor 1. Norms use the statistics of each batch.

    Args:
        supernet: The supernet.
        images: Validation examples to evaluate on; all of the file are taken if there are fewer.

    Raises:
        NasctlError: The supernet has no such loss.
    """

    def __init__(self, supernet: TrainedSupernet, images: int) -> None:
        _check(supernet)
        context = TrainingContext(supernet.weights.hull, supernet.facts.seed, supernet.facts.steps)
        self._networks = SharedNetworks(supernet.weights, Ranks())
        self._learning = learning_of(supernet, context.largest)
        self._factors = [torch.from_numpy(one).float() for one in distribution_of(supernet)]
        self._mixable = isinstance(supernet.space, MixableSpace)
        examples, labels = (torch.cat(one) for one in zip(*stored_batches(supernet, images), strict=True))
        parts = -(-len(labels) // BATCH)  # of nearly equal size: the statistics of a few examples would be noise
        self._batches = list(zip(examples.tensor_split(parts), labels.tensor_split(parts), strict=True))

    @torch.no_grad()
    def __call__(self, allowed: Sequence[Sequence[int]]) -> np.ndarray:
        """Return the loss of the mixture of the allowed choices of each gene, (1,)."""
        total = weight = 0.0
        for examples, labels in self._batches:
            prepared = self._learning.evaluation(examples, labels)
            if self._mixable:
                outputs = self._networks.mixed(allowed, self._kept(allowed), prepared.inputs, frozen=True)
            else:
                outputs = self._networks.entangled(self._masked(allowed), prepared.inputs, frozen=True)
            own = float(self._learning.weight(prepared.targets))
            total += own * float(self._learning.loss(outputs, prepared.targets))
            weight += own
        return np.array([total / weight])

    def _kept(self, allowed: Sequence[Sequence[int]]) -> dict[int, torch.Tensor]:
        """Return the factors of the allowed choices of each gene that has several."""
        several = {gene: list(choices) for gene, choices in enumerate(allowed) if len(choices) > 1}
        return {gene: self._factors[gene][choices] for gene, choices in several.items()}

    def _masked(self, allowed: Sequence[Sequence[int]]) -> dict[int, torch.Tensor]:
        """Return the factors of all choices of each gene, which are 0 for those that are not allowed."""
        found = {}
        for gene, choices in enumerate(allowed):
            found[gene] = torch.zeros_like(self._factors[gene])
            found[gene][list(choices)] = self._factors[gene][list(choices)] if len(choices) > 1 else 1.0
        return found


def _check(supernet: TrainedSupernet) -> None:
    """Raise a `NasctlError` unless a mixture of a supernet's choices has a loss."""
    start, strategy = f"Cannot remove choices of the supernet {supernet.name}", supernet.facts.strategy
    if isinstance(supernet.strategy, ScoresGenomes):
        raise NasctlError(f"{start}: its strategy, {strategy}, trains no classifier. Give --by top-samples.")
    if supernet.weights.copies > 1:
        raise NasctlError(
            f"{start}: its strategy, {strategy}, has several copies of the weights, so there is no one network of all"
            " choices. Give --by top-samples."
        )
    if not supernet.weights.visits.all():
        raise NasctlError(
            f"{start}: no step of its training has reached some weights. Train for longer, or give --by top-samples."
        )


__all__ = ["MixtureLoss"]

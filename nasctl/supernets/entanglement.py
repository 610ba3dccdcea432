"""One network whose weights are mixtures of the slices of several choices, and which genes' choices are slices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from torch import Tensor

from nasctl.errors import NasctlError
from nasctl.problem.space import Genome, MixableSpace
from nasctl.problem.strategy_step import GeneKind
from nasctl.supernets.entangled_mixture import EntangledMixture
from nasctl.supernets.hull import DoesNotFit, Hull
from nasctl.supernets.masked_network import MaskedNetwork, Weights
from nasctl.supernets.slice_masks import SliceMasks
from nasctl.supernets.slice_trial import SliceTrial

DRAWN = 3  # random genomes that are tried in the end


class Entanglement:
    """The largest network, in which the choices of genes are mixed by masks on its weights.

    See `nasctl.problem.strategy_step.StepNetworks.entangled`. A gene is "sliced" if, for each of its choices, the
    network with the masks of that choice has the same outputs as the network of the choice. That is tried with random
    weights. It is "free" if its choices change no weights, as those of a resolution do.

    Args:
        hull: The shared weights.
        base: Genome of the largest network.

    Raises:
        NasctlError: The slices of genes depend on each other in a way that masks cannot say.
    """

    def __init__(self, hull: Hull, base: Genome) -> None:
        self.hull, self.base = hull, base
        self.reasons: dict[int, str] = {}  # why the choices of genes are no slices
        counts = [len(gene.choices) for gene in hull.networks.space.genes]
        several = [gene for gene, count in enumerate(counts) if count > 1]
        alone, trial = SliceMasks(hull, base, ()), SliceTrial(hull, base)
        free = [gene for gene in several if self._is_free(alone, gene)]
        fitting = [gene for gene in several if gene not in free and self._fits(alone, gene)]
        self.masks = SliceMasks(hull, base, fitting)
        if not all(self._agrees(trial, choices) for choices in _covering(self.masks)):
            found = [gene for gene in fitting if self._reproduces(trial, gene)]
            self.masks = SliceMasks(hull, base, found)
        self._check(trial)
        self.kinds: tuple[GeneKind, ...] = tuple(
            "sliced" if gene in self.masks.genes or count == 1 else "free" if gene in free else "other"
            for gene, count in enumerate(counts)
        )

    def masked(self, weights: Weights, factors: Mapping[int, Tensor]) -> MaskedNetwork:
        """Return the network with masked weights.

        Args:
            weights: Shared weights by slot.
            factors: Factors of all choices of genes, (choices,).

        Raises:
            NasctlError: A gene has factors though its choices are no slices, or a free gene has several choices.
        """
        genome, networks = self._genome(factors), self.hull.networks
        device = next(iter(weights.values())).device
        masks = self.masks.masks(factors, device)
        return MaskedNetwork.of(
            networks.space.network(genome), networks.module(genome), self.hull.cuts(genome), weights, masks
        )

    def _genome(self, factors: Mapping[int, Tensor]) -> Genome:
        """Return the genome of the largest network with the given choices of free genes."""
        choices = {}
        for gene, own in factors.items():
            kind, name = self.kinds[gene], self.hull.networks.space.genes[gene].name
            if kind == "other":
                raise NasctlError(f"Cannot entangle the choices of {name}: {self.reasons[gene]}. Give it no factors.")
            if kind == "free":
                choices[gene] = int(own.argmax())
                if own.count_nonzero() != 1:
                    raise NasctlError(
                        f"Cannot entangle the choices of {name}: they change no weights. Give one choice the factor 1."
                    )
        return self.masks.changed(choices)

    def _is_free(self, alone: SliceMasks, gene: int) -> bool:
        """Return whether the choices of a gene change the network, but no weights."""
        hull, space = self.hull, self.hull.networks.space
        genomes = [alone.changed({gene: choice}) for choice in range(len(space.genes[gene].choices))]
        if not all(map(hull.fits, genomes)) or any(hull.cuts(one) != hull.cuts(self.base) for one in genomes):
            return False
        return any(space.network(one) != space.network(self.base) for one in genomes)

    def _fits(self, alone: SliceMasks, gene: int) -> bool:
        """Return whether the weights of a gene's choices are slices of those of the network."""
        try:
            for choice in range(len(self.hull.networks.space.genes[gene].choices)):
                alone.slices(alone.changed({gene: choice}))
        except (NasctlError, DoesNotFit) as reason:
            self.reasons[gene] = str(reason)
            return False
        return True

    def _agrees(self, trial: SliceTrial, choices: Mapping[int, int]) -> bool:
        """Return whether masks of some choices give the network with these choices."""

        def masked(weights: Weights, factors: Mapping[int, Tensor]) -> MaskedNetwork:
            networks, masks = self.hull.networks, self.masks.masks(factors, next(iter(weights.values())).device)
            network, module = networks.space.network(self.base), networks.module(self.base)
            return MaskedNetwork.of(network, module, self.hull.cuts(self.base), weights, masks)

        return trial.agrees(masked, self.masks.changed(choices), choices)

    def _reproduces(self, trial: SliceTrial, gene: int) -> bool:
        """Return whether masks of each of a gene's choices give the network with the choice."""
        for choice, value in enumerate(self.hull.networks.space.genes[gene].choices):
            if choice != self.base[gene] and not self._agrees(trial, {gene: choice}):
                self.reasons[gene] = f"the network with {value} is not a part of the largest one, with the same weights"
                return False
        return True

    def _check(self, trial: SliceTrial) -> None:
        """Check masks of several genes at once."""
        rng, genes = np.random.default_rng(0), self.hull.networks.space.genes
        for k in range(DRAWN + 1):
            drawn = {g: int(rng.integers(len(genes[g].choices))) if k else 0 for g in self.masks.genes}
            if not self._agrees(trial, drawn):
                raise NasctlError(
                    "Cannot entangle the choices of this space: a network that differs from the largest one in several"
                    f" genes, {self.masks.changed(drawn)}, is not a part of it. Choose another strategy."
                )


def _covering(masks: SliceMasks) -> Iterator[dict[int, int]]:
    """Yield choices of genes such that each choice of each gene is in one, where another choice does not idle it."""
    genes = masks.hull.networks.space.genes
    left = {gene: [one for one in range(len(genes[gene].choices)) if one != masks.base[gene]] for gene in masks.genes}
    while any(left.values()):
        choices = {gene: own[0] for gene, own in left.items() if own}
        genome = masks.changed(choices)
        seen = [gene for gene, choice in choices.items() if genome[gene] == choice]
        if not seen or genome == masks.base:  # the choices that are left have no effect
            return
        yield choices
        for gene in seen:
            left[gene].pop(0)


def entanglement_of(hull: Hull, base: Genome) -> Entanglement | EntangledMixture:
    """Return how the choices of a hull's networks are mixed in one pass.

    Args:
        hull: The shared weights.
        base: Genome of the largest network.
    """
    return EntangledMixture(hull, base) if isinstance(hull.networks.space, MixableSpace) else Entanglement(hull, base)


__all__ = ["Entanglement", "entanglement_of"]

"""Sums of several choices of each gene, in which choices that are slices of others run in the branch of these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from nasctl.errors import NasctlError
from nasctl.problem.space import Genome
from nasctl.problem.strategy_step import GeneKind
from nasctl.supernets.hull import Hull
from nasctl.supernets.masked_network import MaskedNetwork, Weights
from nasctl.supernets.mixtures import MixedNetwork, Mixtures
from nasctl.supernets.slice_masks import SliceMasks
from nasctl.supernets.slice_trial import SliceTrial

DRAWN = 2  # random genomes that are tried in the end

TRIES = 50  # random genomes that are drawn for one that is canonical


class Branch(NamedTuple):
    """A choice that a mixture computes, and the choices that are slices of it."""

    choice: int
    members: tuple[int, ...]  # with the choice itself
    masks: SliceMasks | None  # of the members' weights, where there are several


class EntangledMixture:
    """The sum of several choices of each gene of a `MixableSpace`, without a branch for choices that are slices.

    With kernels of 1 and 3 that share weights, as nb201's convolutions do with `share=entangled`, the convolution runs
    once: its kernel is masked by the factors of both over their sum, and the output is multiplied by the sum.

    Args:
        hull: The shared weights.
        base: Genome of the largest network.

    Raises:
        NasctlError: A network of single choices is not a part of the sum.
    """

    def __init__(self, hull: Hull, base: Genome) -> None:
        self.hull, self.base = hull, base
        self._mixtures, trial = Mixtures(hull), SliceTrial(hull, base)
        genes = hull.networks.space.genes
        self.branches = [self._branches(trial, gene) for gene in range(len(genes))]
        self.kinds: tuple[GeneKind, ...] = tuple(
            "sliced" if any(one.masks for one in branches) else "mixed" if len(branches) > 1 else "sliced"
            for branches in self.branches
        )
        self._check(trial)

    def masked(self, weights: Weights, factors: Mapping[int, Tensor]) -> MaskedNetwork:
        """Return the sum of all choices of the genes that have factors, with masked weights.

        Args:
            weights: Shared weights by slot.
            factors: Factors of all choices of genes, (choices,).

        Raises:
            NasctlError: Two branches of a gene have the same weights.
        """
        device, sums = next(iter(weights.values())).device, dict[int, Tensor]()
        terms: dict[str, list[tuple[Tensor, bool]]] = {}
        for gene, own in factors.items():
            found = self.branches[gene]
            if len(found) > 1:
                sums[gene] = torch.stack([own[list(one.members)].sum() for one in found])
            for one in found:
                if one.masks is not None:
                    for slot, masks in one.masks.masks({gene: _shares(own, one.members)}, device).items():
                        terms.setdefault(slot, []).extend(masks)
        mixture = self._mixtures.of(self._allowed(factors), sums)
        self._check_single(mixture, terms)
        return MaskedNetwork.of(mixture.network, mixture.module, mixture.cuts, weights, terms, mixture.factors(sums))

    def _allowed(self, factors: Mapping[int, Tensor]) -> list[tuple[int, ...]]:
        """Return the choices that the sum computes, (genes,)."""
        return [
            tuple(one.choice for one in branches) if gene in factors else (self.base[gene],)
            for gene, branches in enumerate(self.branches)
        ]

    def _branches(self, trial: SliceTrial, gene: int) -> list[Branch]:
        """Return the choices of a gene that are no slices of another one, each with its slices."""
        choices = range(len(self.hull.networks.space.genes[gene].choices))
        owner = {choice: choice for choice in choices}
        for small in choices:
            owners = [large for large in choices if self._is_slice(trial, gene, small, large)]
            if owners:
                owner[small] = owners[-1]
        for small in choices:  # a slice of a slice is a slice
            while owner[owner[small]] != owner[small]:
                owner[small] = owner[owner[small]]
        found = []
        for large in choices:
            members = tuple(small for small in choices if owner[small] == large)
            if members:
                masks = self._masks(gene, large, members) if len(members) > 1 else None
                found.append(Branch(large, members, masks))
        return found

    def _masks(self, gene: int, large: int, members: Sequence[int]) -> SliceMasks:
        base = SliceMasks(self.hull, self.base, ()).changed({gene: large})
        return SliceMasks(self.hull, base, [gene], {gene: members})

    def _is_slice(self, trial: SliceTrial, gene: int, small: int, large: int) -> bool:
        """Return whether one choice of a gene computes what another one does with a slice of its weights."""
        alone = SliceMasks(self.hull, self.base, ())
        first, second = (alone.changed({gene: choice}) for choice in (small, large))
        if first[gene] != small or second[gene] != large or not self.hull.fits(first) or not self.hull.fits(second):
            return False
        cuts = [{slot: cut for _, slot, cut in self.hull.cuts(genome)} for genome in (first, second)]
        if cuts[0].keys() != cuts[1].keys() or cuts[0] == cuts[1]:
            return False
        try:
            masks = self._masks(gene, large, (small, large))
        except NasctlError:
            return False

        def masked(weights: Weights, factors: Mapping[int, Tensor]) -> MaskedNetwork:
            networks = self.hull.networks
            network, module = networks.space.network(second), networks.module(second)
            terms = masks.masks(factors, next(iter(weights.values())).device)
            return MaskedNetwork.of(network, module, self.hull.cuts(second), weights, terms)

        return trial.agrees(masked, first, {gene: small})

    def _check_single(self, mixture: MixedNetwork, terms: Mapping[str, object]) -> None:
        """Check that no masked slot belongs to two branches, of which only one is masked."""
        slots = [slot for _, slot, _ in mixture.cuts if slot in terms]
        if len(slots) != len(set(slots)):
            raise NasctlError(
                "Cannot entangle the choices of this space: operations of one gene that are no slices of each other"
                " have the same weights. Give --share blocks."
            )

    def _check(self, trial: SliceTrial) -> None:
        """Check sums with factors of single choices of all genes."""
        rng, space = np.random.default_rng(0), self.hull.networks.space
        for _ in range(DRAWN):
            for _ in range(TRIES):
                genome = tuple(int(rng.integers(len(gene.choices))) for gene in space.genes)
                if space.canonical(genome) == genome and self.hull.fits(genome):
                    break
            else:
                return
            if not trial.agrees(self.masked, genome, dict(enumerate(genome))):
                raise NasctlError(
                    f"Cannot entangle the choices of this space: the network {genome} is not a part of the sum of all"
                    " choices. Choose another strategy."
                )


def _shares(factors: Tensor, members: Sequence[int]) -> Tensor:
    """Return the factors of some choices over their sum, (choices,), and zeros for others; equal shares of zeros."""
    own = factors[list(members)]
    total = own.sum()
    shares = torch.where(total > 0, own / torch.where(total > 0, total, 1), 1 / len(members))
    return factors.new_zeros(len(factors)).index_put((torch.tensor(members, device=factors.device),), shares)


__all__ = ["Branch", "EntangledMixture"]

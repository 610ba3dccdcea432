"""Networks that sum several choices of each gene, with slices of the shared weights and given factors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

import torch
from torch import Tensor, nn

from nasctl.errors import NasctlError
from nasctl.networks.graph import Network
from nasctl.networks.layers import SumTerm, WeightedSum
from nasctl.networks.node import attribute_name
from nasctl.problem.space import MixableSpace
from nasctl.supernets.hull import Hull, NamedCut

KEPT = 500  # networks that stay in memory

Terms = tuple[SumTerm, ...]


@dataclass(frozen=True)
class FactorPlaces:
    """The places of the factors of a weighted sum among those of all choices.

    Attributes:
        products: Places of the factors of each product, (P, D). Place 0 has the number 1.
        terms: The term that each product is added to, (P,).
        number: Number of terms.
    """

    products: Tensor
    terms: Tensor
    number: int

    @classmethod
    def of(cls, terms: Terms, places: Mapping[tuple[int, int], int]) -> FactorPlaces:
        """Return the places of the factors of some terms.

        Args:
            terms: The terms of a weighted sum.
            places: Place of the factor of each (gene, choice). Choices without a factor are not in it.
        """
        products = [(k, product) for k, term in enumerate(terms) for product in term.products]
        rows = [[places.get(one, 0) for one in product] for _, product in products]
        longest = max(1, *map(len, rows))
        padded = [row + [0] * (longest - len(row)) for row in rows]
        return cls(torch.tensor(padded), torch.tensor([k for k, _ in products]), len(terms))

    def factors(self, values: Tensor) -> Tensor:
        """Return the factor of each term, (number,), of the factors of all choices, whose first is 1."""
        first, *others = values[self.products.to(values.device)].unbind(1)
        for one in others:
            first = first * one
        return values.new_zeros(self.number).index_add(0, self.terms.to(values.device), first)


@dataclass(frozen=True)
class MixedNetwork:
    """A network that sums several choices of each gene.

    Attributes:
        network: The network.
        module: Its module, with parameters on the meta device.
        cuts: The slices of the shared weights that its parameters are.
        allowed: Choices of each gene, (genes,).
        sums: Names of the factors of all weighted sums with equal terms, and the places of these factors.
    """

    network: Network
    module: nn.Module
    cuts: tuple[NamedCut, ...]
    allowed: tuple[tuple[int, ...], ...]
    sums: tuple[tuple[tuple[str, ...], FactorPlaces], ...]

    def factors(self, weights: Mapping[int, Tensor]) -> dict[str, Tensor]:
        """Return the factors of all weighted sums by their names in the module.

        Args:
            weights: Factors of the allowed choices, (choices,), by the place of the gene.

        Raises:
            ValueError: A gene has not one factor for each allowed choice.
        """
        for place, own in weights.items():
            if own.shape != (len(self.allowed[place]),):
                raise ValueError(
                    f"gene {place} has {len(self.allowed[place])} allowed choices, and factors of the shape"
                    f" {tuple(own.shape)}"
                )
        if not weights:
            return {}
        factors = [weights[place] for place in sorted(weights)]
        values = torch.cat([factors[0].new_ones(1), *factors])
        found: dict[str, Tensor] = {}
        for names, places in self.sums:
            found |= dict.fromkeys(names, places.factors(values))
        return found


class Mixtures:
    """The networks that sum several choices of each gene of a space.

    Args:
        hull: The slots of the shared weights.
    """

    def __init__(self, hull: Hull) -> None:
        self._hull = hull
        self._kept = lru_cache(maxsize=KEPT)(self._mixture)

    def of(self, allowed: Sequence[Sequence[int]], weights: Mapping[int, object]) -> MixedNetwork:
        """Return the network of some choices; the same one for the same choices.

        Args:
            allowed: Choices of each gene, (genes,), one or more of each.
            weights: Factors, by the places of the genes that have some.

        Raises:
            DoesNotFit: The hull has no place for the weights of an operation.
            NasctlError: The space has no such networks.
            ValueError: A gene without factors has several choices.
        """
        return self._kept(tuple(tuple(choices) for choices in allowed), tuple(sorted(weights)))

    def _mixture(self, allowed: tuple[tuple[int, ...], ...], learned: tuple[int, ...]) -> MixedNetwork:
        networks = self._hull.networks
        space = networks.space
        if not isinstance(space, MixableSpace):
            raise NasctlError(
                "Cannot mix choices: this space has no networks that sum several choices of a gene. Give a space that"
                " has, such as nb201, or another strategy."
            )
        for place, choices in enumerate(allowed):
            if len(choices) > 1 and place not in learned:
                raise ValueError(f"gene {place} has {len(choices)} allowed choices and no factors")
        gated = any(len(allowed[place]) == 1 for place in learned)
        network = space.supernet(allowed, gated=True) if gated else space.supernet(allowed)
        starts = accumulate((len(allowed[place]) for place in learned), initial=1)
        places = {
            (place, choice): start + k
            for place, start in zip(learned, starts, strict=False)
            for k, choice in enumerate(allowed[place])
        }
        named: dict[Terms, list[str]] = {}
        for node in network.nodes:
            if isinstance(node.layer, WeightedSum):
                named.setdefault(node.layer.terms, []).append(f"{networks.prefix}{attribute_name(node.name)}.factors")
        sums = tuple((tuple(names), FactorPlaces.of(terms, places)) for terms, names in named.items())
        cuts = self._hull.cuts_of(networks.uses_of(network))
        return MixedNetwork(network, networks.module_of(network), cuts, allowed, sums)


__all__ = ["MixedNetwork", "Mixtures"]

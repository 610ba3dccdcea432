"""A network that sums several choices of each gene, behind the interface of a search space."""

from __future__ import annotations

from collections.abc import Sequence

from nasctl.errors import NasctlError
from nasctl.networks.graph import Network
from nasctl.problem.fidelity import Fidelity
from nasctl.problem.space import Genome, MixableSpace, SearchSpace


class Mixture:
    """A space of one network, which sums several choices of each gene, so that metrics of genomes apply to it.

    Every genome stands for that network.

    Args:
        space: The space that builds the network; it implements `MixableSpace`.
        allowed: The summed choices of each gene, G lists, which are an attribute too.
    """

    def __init__(self, space: SearchSpace, allowed: Sequence[Sequence[int]]) -> None:
        self.input, self.genes = space.input, space.genes
        self._space, self.allowed = space, allowed

    def canonical(self, genome: Genome) -> Genome:
        return genome

    def network(self, genome: Genome) -> Network:
        if not isinstance(self._space, MixableSpace):
            raise NasctlError("this space has no network that sums choices of its genes; choose another searcher")
        return self._space.supernet(self.allowed)

    def reduced(self, fidelity: Fidelity) -> Mixture:
        return Mixture(self._space.reduced(fidelity), self.allowed)

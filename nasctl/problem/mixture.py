"""A network that sums several choices of each gene, in the form of a search space."""

from __future__ import annotations

from collections.abc import Sequence

from nasctl.networks.graph import Network
from nasctl.problem.fidelity import Fidelity
from nasctl.problem.space import Genome, SearchSpace


class Supernet:
    """One network in the form of a space, so that whatever is measured of a genome can be measured of it.

    Args:
        space: A space that has supernets.
        allowed: The choices of each gene that are summed.
    """

    def __init__(self, space: SearchSpace, allowed: Sequence[Sequence[int]]) -> None:
        self.input, self.genes = space.input, space.genes
        self._space, self._allowed = space, allowed

    def canonical(self, genome: Genome) -> Genome:
        return genome

    def network(self, genome: Genome) -> Network:
        network: Network = self._space.supernet(self._allowed)  # type: ignore[attr-defined]
        return network

    def reduced(self, fidelity: Fidelity) -> Supernet:
        return Supernet(self._space.reduced(fidelity), self._allowed)

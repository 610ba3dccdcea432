"""An architecture as people read it: its id, its space with all options, its choices and its totals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from nasctl import registry
from nasctl.architectures import ids
from nasctl.networks.graph import Network
from nasctl.problem.space import Genome, Input, Notation, SearchSpace


@dataclass(frozen=True)
class Architecture:
    """A genome with all that is needed to build it again without a store."""

    id: str
    space: str  # the spec with every option
    genome: Genome
    genes: Mapping[str, object]  # what was chosen, by the gene's name
    inactive: frozenset[str]  # genes whose choice makes no difference beside the others
    native: str | None  # in the notation of the space's benchmark, if it has one
    input: Input
    network: Network

    def facts(self) -> dict[str, Any]:
        """What `nasctl show` and every export begin with; memory is in bytes, as `Network.memory` counts them."""
        native = {} if self.native is None else {"native": self.native}
        inactive = {"inactive": [name for name in self.genes if name in self.inactive]}
        totals = {"params": self.network.params, "macs": self.network.macs, "memory": self.network.memory}
        whose = {"id": self.id, "space": self.space, "genome": list(self.genome)}
        return {**whose, **native, "genes": dict(self.genes), **inactive, "input": list(self.input.shape), **totals}


def architecture(spec: str, genome: Genome) -> Architecture:
    """The architecture that a genome stands for in the space of a spec, exactly as the genome spells it."""
    space = registry.create("spaces", spec)
    network: Network = space.network(genome)
    (shape,) = network.input_shapes
    return Architecture(
        id=ids.encode(spec, space.genes, genome),
        space=registry.spelled_out("spaces", spec),
        genome=genome,
        genes={gene.name: gene.choices[choice] for gene, choice in zip(space.genes, genome, strict=True)},
        inactive=_inactive(space, genome),
        native=space.spell(genome) if isinstance(space, Notation) else None,
        input=replace(space.input, shape=shape),
        network=network,
    )


def _inactive(space: SearchSpace, genome: Genome) -> frozenset[str]:
    """Names of the genes that the space's canonical form ignores here, such as those of a block beyond its depth."""
    meant = space.canonical(genome)
    return frozenset(
        gene.name
        for k, gene in enumerate(space.genes)
        if len(gene.choices) > 1
        and all(space.canonical((*genome[:k], other, *genome[k + 1 :])) == meant for other in range(len(gene.choices)))
    )

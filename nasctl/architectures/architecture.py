"""The description of an architecture: its id, its space with all options, its genes and its total costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from nasctl import registry
from nasctl.architectures import ids
from nasctl.networks.graph import Network
from nasctl.problem.space import Genome, Input, Notation, SearchSpace, choice_value


@dataclass(frozen=True)
class Architecture:
    """A genome with everything needed to build its network again without a store."""

    id: str
    space: str  # spec of the space with every option
    genome: Genome
    genes: Mapping[str, object]  # chosen value by name of the gene
    inactive: frozenset[str]  # genes whose choice does not change the network, given the other choices
    native: str | None  # the architecture in the notation of the space's benchmark, if there is one
    input: Input
    network: Network

    def facts(self) -> dict[str, Any]:
        """Return the facts with which `nasctl show` and every export begin; memory is `Network.memory`, in bytes."""
        native = {} if self.native is None else {"native": self.native}
        genes = {name: choice_value(choice) for name, choice in self.genes.items()}
        inactive = {"inactive": [name for name in self.genes if name in self.inactive]}
        totals = {"params": self.network.params, "macs": self.network.macs, "memory": self.network.memory}
        identity = {"id": self.id, "space": self.space, "genome": list(self.genome)}
        return {**identity, **native, "genes": genes, **inactive, "input": list(self.input.shape), **totals}


def architecture(spec: str, genome: Genome) -> Architecture:
    """Describe a genome in the space of a spec, without making the genome canonical."""
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
    """Return the names of genes that the canonical form ignores, such as those of a block beyond the stage's depth."""
    canonical = space.canonical(genome)
    return frozenset(
        gene.name
        for k, gene in enumerate(space.genes)
        if len(gene.choices) > 1
        and all(
            space.canonical((*genome[:k], other, *genome[k + 1 :])) == canonical for other in range(len(gene.choices))
        )
    )

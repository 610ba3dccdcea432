"""The values that travel through a search, and the protocols between its parts; below everything that uses them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from nasctl.errors import InvalidGenome
from nasctl.networks.graph import Network
from nasctl.networks.node import Shape
from nasctl.problem.fidelity import Fidelity

Genome = tuple[int, ...]  # (G,): the choice made at each gene, and the only identity of a candidate


@dataclass(frozen=True, slots=True)
class Gene:
    """One decision: its name, such as "stage2.1.kernel", and what there is to choose from, such as (3, 5, 7)."""

    name: str
    choices: tuple[object, ...]
    ordered: bool = False  # promises that a later choice makes no layer of the network smaller and removes none


@dataclass(frozen=True, slots=True)
class Input:
    """One example: its shape, and what it holds."""

    shape: Shape  # (C, H, W) of an image, (T,) of tokens
    kind: Literal["images", "tokens"] = "images"
    vocabulary: int = 0  # tokens are 0 to vocabulary - 1


class SearchSpace(Protocol):
    """A finite set of networks, addressed by genomes.

    A space may also implement `HasLevels`, `Notation` and `MixableSpace`.
    """

    input: Input
    genes: Sequence[Gene]  # (G,)

    def canonical(self, genome: Genome) -> Genome:
        """The genome that stands for all that compute the same function of the same weights; idempotent.

        Raises:
            InvalidGenome: The space has no such genome; `validate` raises it.
        """
        ...

    def network(self, genome: Genome) -> Network:
        """The network exactly as the genome spells it, parts that change nothing included."""
        ...

    def reduced(self, fidelity: Fidelity) -> SearchSpace:
        """The same genes with cheaper networks; what the space has no use for is ignored."""
        ...


@runtime_checkable
class HasLevels(Protocol):
    """A space with named fidelities.

    "full", "balanced" and "fast" mean the same on every space. "balanced" is the default of metrics; "full" is the
    default where a space names no "balanced".
    """

    levels: Mapping[str, Fidelity]


@runtime_checkable
class MixableSpace(Protocol):
    """A space that can build a network which sums several choices of each gene."""

    def supernet(self, allowed: Sequence[Sequence[int]]) -> Network:
        """Build the network that sums, gene by gene, the allowed choices: G lists of one or more choices each."""
        ...


@runtime_checkable
class Notation(Protocol):
    """What a space has beside if its benchmark writes architectures in a way of its own."""

    def spell(self, genome: Genome) -> str:
        """A genome in that notation."""
        ...

    def parse(self, text: str) -> Genome | None:
        """The genome that a text stands for; none if it is not in that notation."""
        ...


def levels(space: SearchSpace) -> dict[str, Fidelity]:
    """The named fidelities of a space; "full" is always one of them."""
    return {"full": Fidelity(), **(space.levels if isinstance(space, HasLevels) else {})}


def default_fidelity(space: SearchSpace) -> Fidelity:
    """What metrics are computed at unless a person says otherwise."""
    named = levels(space)
    return named.get("balanced", named["full"])


def validate(genes: Sequence[Gene], genome: Genome) -> None:
    """Check that a genome picks one of the choices of every gene.

    Raises:
        InvalidGenome: It does not; the message names the gene.
    """
    if len(genome) != len(genes):
        raise InvalidGenome(f"a genome of this space has {len(genes)} genes, not {len(genome)}")
    for gene, choice in zip(genes, genome, strict=True):
        if not 0 <= choice < len(gene.choices):
            raise InvalidGenome(f"gene {gene.name!r} is 0 to {len(gene.choices) - 1}, not {choice}")

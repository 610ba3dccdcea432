"""Search spaces: genes, genomes, inputs, the protocol of spaces and the protocols of their optional members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import BuiltinFunctionType, FunctionType
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from nasctl.errors import InvalidGenome
from nasctl.networks.graph import Network
from nasctl.networks.node import Shape
from nasctl.problem.fidelity import Fidelity

if TYPE_CHECKING:
    from torch import nn

Genome = tuple[int, ...]  # (G,): the index of the choice at each gene; it identifies a candidate

EXAMPLE_GENES = 8  # largest number of genes of which a message shows a whole genome


@dataclass(frozen=True, slots=True)
class Gene:
    """A decision: its name, such as "stage2.1.kernel", and its choices, such as (3, 5, 7)."""

    name: str
    choices: tuple[object, ...]
    ordered: bool = False  # a promise that a later choice makes no layer of the network smaller and removes none


def choice_value(choice: object) -> object:
    """Return a choice of a gene as JSON can hold it: classes and functions become their names, such as "ReLU"."""
    if isinstance(choice, (type, FunctionType, BuiltinFunctionType)):
        return choice.__name__
    return tuple(map(choice_value, choice)) if type(choice) is tuple else choice


def choice_text(choice: object) -> str:
    """Return a choice of a gene in words, such as "5", "(3, 5)", or "ReLU" for a class."""
    return str(choice_value(choice))


@dataclass(frozen=True, slots=True)
class Input:
    """The input of a network: the shape and the kind of one example."""

    shape: Shape  # (C, H, W) of an image, (T,) of tokens
    kind: Literal["images", "tokens"] = "images"
    vocabulary: int = 0  # the number of tokens, which are 0 to vocabulary - 1; 0 for images


class SearchSpace(Protocol):
    """A finite set of networks, addressed by genomes.

    A space may also implement `HasLevels`, `HasPastLevels`, `HasFamily`, `HasReferences`, `HasMissingReferences`,
    `HasShare`, `Notation`, `HasNASLibTuples`, `MixableSpace`, `HasDeclaredForm`, `HasTrainedWeights` and
    `HasDefaultCost`.
    """

    input: Input
    genes: Sequence[Gene]  # (G,)

    def canonical(self, genome: Genome) -> Genome:
        """Return the genome that stands for all genomes with the same function of the same weights; idempotent.

        Raises:
            InvalidGenome: The space has no such genome. `validate` raises it.
        """
        ...

    def network(self, genome: Genome) -> Network:
        """Return the network of a genome as it is written, including parts without an effect."""
        ...

    def reduced(self, fidelity: Fidelity) -> SearchSpace:
        """Return a space of the same genes with cheaper networks. Bounds that mean nothing to the space are ignored."""
        ...


@runtime_checkable
class HasLevels(Protocol):
    """A space with named fidelities.

    "full", "balanced" and "fast" mean the same on every space. "balanced" is the default of metrics; "full" is the
    default where a space names no "balanced".
    """

    levels: Mapping[str, Fidelity]


@runtime_checkable
class HasPastLevels(Protocol):
    """A space whose named fidelities had other bounds in earlier versions, newest first.

    A search that names a level, or no fidelity, resumes a run that was started with earlier bounds of the level.
    """

    past_levels: Mapping[str, Sequence[Fidelity]]


@runtime_checkable
class HasFamily(Protocol):
    """A space that names its family; see `nasctl.correlations.families`, which otherwise reads it from the layers.

    Default objectives follow the family.
    """

    family: str


@dataclass(frozen=True, slots=True)
class Reference:
    """A published network of a space.

    Args:
        genome: Its genome; it need not be canonical.
        source: Where the network is published, such as "Howard et al., ICCV 2019, table 1".
        accuracy: Its published accuracy, a share of 1; None if none is known.
        remark: How the network of the space differs from the published one, and what the accuracy is of; "" if the
            network is the published one and the accuracy is ImageNet's top 1.
        options: The options in which the space differs from the published network, such as "width=0.75 (published with
            1.0)", a part of `remark`; "" if there are none.
    """

    genome: Genome
    source: str
    accuracy: float | None = None
    remark: str = ""
    options: str = ""


@runtime_checkable
class HasReferences(Protocol):
    """A space that names published networks of its own, which users know and compare with."""

    references: Mapping[str, Reference]  # by name, in lower case with hyphens, such as "mobilenetv3-large"


@runtime_checkable
class HasMissingReferences(Protocol):
    """A space that says of published networks which its users look for why it has not got them."""

    missing_references: Mapping[str, str]  # reason by name, such as "give width=1.2"


@runtime_checkable
class HasShare(Protocol):
    """A space that names what the networks of a supernet share; see `nasctl.supernets.slots`.

    Without the name, smaller layers are slices of larger ones where all genes are ordered, and each kind of block at a
    place has weights of its own elsewhere.
    """

    share: Literal["entangled", "blocks"]


@runtime_checkable
class MixableSpace(Protocol):
    """A space that can build a network which sums several choices of each gene."""

    def supernet(self, allowed: Sequence[Sequence[int]], gated: bool = False) -> Network:
        """Return the network that sums, gene by gene, the outputs of the allowed choices in layers `WeightedSum`.

        With one choice of each gene, and not `gated`, it is the network of the genome. A layer that computes a term of
        the sum is named like the layer of the network of one choice, with "." or "_" and the name of the term behind
        it. The two have the same weights in a supernet.

        Args:
            allowed: Choices of each gene, (genes,), one or more of each.
            gated: Whether a gene with one choice has a factor too.
        """
        ...


@runtime_checkable
class HasDeclaredForm(Protocol):
    """A space whose benchmark runs operations that `SearchSpace.network` leaves out, such as `none` as zeros."""

    def declared(self, genome: Genome) -> Network:
        """Return the network of a genome as the benchmark's own code runs it, with the same names of shared blocks."""
        ...


@runtime_checkable
class HasTrainedWeights(Protocol):
    """A space of variants of a trained network, whose weights follow from the trained ones, so that none are drawn."""

    def module(self, genome: Genome) -> nn.Module:
        """Return a new module of a genome's network with its weights, in evaluation mode.

        Args:
            genome: The genome.

        Raises:
            NasctlError: The file of the trained network has changed or is gone.
        """
        ...


@runtime_checkable
class HasDefaultCost(Protocol):
    """A space whose networks have another cost than those of its kind, for a search that names no objectives."""

    default_cost: str  # spec of an objective


@runtime_checkable
class Notation(Protocol):
    """A space whose benchmark writes architectures in a notation of its own."""

    def spell(self, genome: Genome) -> str:
        """Return a genome in the notation."""
        ...

    def parse(self, text: str) -> Genome | None:
        """Return the genome that a text stands for; None if the text is not in the notation."""
        ...


@runtime_checkable
class HasNASLibTuples(Protocol):
    """A space whose genomes look like NASLib's tuples of operation indices, but mean other networks."""

    def from_naslib(self, indices: Sequence[int]) -> Genome:
        """Return the genome of NASLib's tuple.

        Raises:
            InvalidGenome: NASLib has no such tuple.
        """
        ...


def levels(space: SearchSpace) -> dict[str, Fidelity]:
    """Return the named fidelities of a space; "full" is always one of them."""
    return {"full": Fidelity(), **(space.levels if isinstance(space, HasLevels) else {})}


def default_fidelity(space: SearchSpace) -> Fidelity:
    """Return the default fidelity of metrics on a space."""
    return levels(space)[_default_level(space)]


def past_fidelities(space: SearchSpace, text: str) -> list[Fidelity]:
    """Return the fidelities that a text meant on a space in earlier versions, newest first.

    Args:
        space: The space.
        text: A fidelity as `Fidelity.parse` reads it; "" for the default one.

    Raises:
        BadOption: The text is no fidelity.
    """
    if not isinstance(space, HasPastLevels):
        return []
    text = text or _default_level(space)
    level, named = text.partition(",")[0], levels(space)
    return [Fidelity.parse(text, named | {level: past}) for past in space.past_levels.get(level, ())]


def _default_level(space: SearchSpace) -> str:
    return "balanced" if "balanced" in levels(space) else "full"


def declared_network(space: SearchSpace, genome: Genome) -> Network:
    """Return the network of a genome with all operations that its benchmark's own code runs, or as it is written."""
    return space.declared(genome) if isinstance(space, HasDeclaredForm) else space.network(genome)


def validate(genes: Sequence[Gene], genome: Genome) -> None:
    """Check that a genome has one of the choices of every gene.

    Raises:
        InvalidGenome: It has not. The message names the gene.
    """
    if len(genome) != len(genes):
        example = ",".join("0" * len(genes)) if len(genes) <= EXAMPLE_GENES else "0,0,0,..."
        raise InvalidGenome(
            f"a genome of this space has {len(genes)} genes, not {len(genome)}; separate its choices by commas, as in"
            f" {example}"
        )
    for gene, choice in zip(genes, genome, strict=True):
        if not 0 <= choice < len(gene.choices):
            raise InvalidGenome(f"gene {gene.name!r} is 0 to {len(gene.choices) - 1}, not {choice}")

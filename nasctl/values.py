"""The values that travel through a search, and the protocols between its parts; below everything that uses them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from nasctl.errors import BadOption, InvalidGenome
from nasctl.networks.graph import Network
from nasctl.networks.node import Shape

if TYPE_CHECKING:
    import numpy as np

Genome = tuple[int, ...]  # (G,): the choice made at each gene, and the only identity of a candidate
Direction = Literal["min", "max"]
Transform = Literal["identity", "log10", "-log10(-s)"]  # what searchers see of a value s, beside the sign
Cost = Literal["network", "module"]  # arithmetic on the network, or passes over a module


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


@dataclass(frozen=True, slots=True)
class Fidelity:
    """What a metric is computed on: bounds on the network in place of the real one, and how much of it is looked at.

    The first two bound the network, and None bounds nothing.
    """

    size: int | None = None  # height and width of images, length of sequences
    cells: int | None = None  # cells or blocks in a stage, where a space repeats them
    batch: int = 64  # examples
    repeats: int = 1  # draws of weights and examples over which the mean is taken

    def __str__(self) -> str:
        given = {bound.name: getattr(self, bound.name) for bound in fields(self)}
        return ",".join(f"{name}={value}" for name, value in given.items() if value is not None)

    @property
    def whole(self) -> bool:
        """Whether it is the real network that is looked at."""
        return self.size is None and self.cells is None

    @classmethod
    def parse(cls, text: str, levels: Mapping[str, Fidelity]) -> Fidelity:
        """Read the name of a level, bounds such as "size=64,cells=1,batch=32,repeats=3", or a level and what differs.

        Without a level, what is left out is as in the full one.

        Raises:
            BadOption: It is none of these.
        """
        pieces = text.split(",")
        level = levels[pieces.pop(0)] if pieces[0] in levels else levels["full"]
        found: dict[str, int] = {}
        for piece in pieces:
            name, _, value = piece.partition("=")
            least = 2 if name == "batch" else 1  # metrics compare examples with one another
            known = name in {bound.name for bound in fields(cls)} and re.fullmatch("[0-9]{1,6}", value)
            if not known or int(value) < least:
                raise BadOption(
                    f"{text!r} is no fidelity; write {', '.join(levels)}, or bounds such as size=64,batch=32"
                )
            found[name] = int(value)
        return replace(level, **found)


class SearchSpace(Protocol):
    """A finite set of networks, addressed by genomes.

    It may also have `levels`, named fidelities, of which "full", "balanced" and "fast" mean the same everywhere;
    "balanced" is what metrics are computed at unless a person says otherwise, "full" if there is no other. And it may
    have `supernet(allowed)`, the network that sums, gene by gene, several choices, (G,) of one or more each.
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
class Notation(Protocol):
    """What a space has beside if its benchmark writes architectures in a way of its own."""

    def spell(self, genome: Genome) -> str:
        """A genome in that notation."""
        ...

    def parse(self, text: str) -> Genome | None:
        """The genome that a text stands for; none if it is not in that notation."""
        ...


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was measured of a genome, by objective; an objective that failed is in `errors` and not in `values`."""

    genome: Genome
    values: dict[str, float]
    errors: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Goal:
    """An objective as searchers know it: one column of the losses."""

    name: str
    direction: Direction
    transform: Transform
    cost: Cost


class Problem(Protocol):
    """What a searcher is told of the search.

    It may also have `worth(allowed)`: the losses, (M,), of the supernet of these choices of each gene.
    """

    @property
    def space(self) -> SearchSpace:
        """Where to search."""
        ...

    @property
    def objectives(self) -> Sequence[Goal]:
        """What to minimise, (M,)."""
        ...

    def screen(self, genomes: Sequence[Genome]) -> np.ndarray:
        """Losses of canonical genomes in the objectives of cost "network", free of budget.

        Returns:
            (N, M), every objective to be minimised; NaN where it failed and in the columns of cost "module".
        """
        ...

    def excess(self, genomes: Sequence[Genome]) -> np.ndarray:
        """By how much canonical genomes break the constraints on what needs no module, free of budget.

        Returns:
            (N,), the sum over those constraints; 0 where all of them hold.
        """
        ...


class Searcher(Protocol):
    """Proposes genomes and learns from their losses; made with (problem, rng, **options).

    All its randomness comes from `rng`, so a search can be replayed. A class that works on some problems alone says in
    `needs` what it needs beside: "pool", a table of scores, or "supernet"; without that it raises BadOption when made.
    """

    def ask(self) -> list[Genome]:
        """The next genomes, canonical; none when there is nothing left to propose."""
        ...

    def tell(self, losses: np.ndarray, violations: np.ndarray) -> None:
        """Learn about the genomes of the last ask, in their order.

        Args:
            losses: (N, M), every objective to be minimised; NaN where it failed.
            violations: (N, C), 0 where a constraint holds, above 0 by how much it is broken.
        """
        ...


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


def levels(space: SearchSpace) -> dict[str, Fidelity]:
    """The named fidelities of a space; "full" is always one of them."""
    return {"full": Fidelity(), **getattr(space, "levels", {})}


def usual(space: SearchSpace) -> Fidelity:
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

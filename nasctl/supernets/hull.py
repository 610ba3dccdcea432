"""The hull of a search space: for each slot the smallest tensor that the parameters of every network fit into."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import prod

import msgspec
import numpy as np
import torch
from torch import Tensor

from nasctl.errors import NasctlError
from nasctl.problem.space import Genome, SearchSpace
from nasctl.supernets.elastic_networks import ElasticNetworks
from nasctl.supernets.slots import GATE, SlotAxis, Use

QUIET = 1000  # random genomes in a row that must fit into the hull before it is complete

QUIET_ORDERED = 50  # the same where every gene promises that the last choice is the largest

LIMIT = 20_000  # random genomes that are tried at most

MOST_SLOTS = 50_000  # of a hull; files of weights have a line for each

ANCHORS = 2  # random genomes whose genes are swept, beside the first and the last genome

Part = tuple[int, int]  # start and length of a slice

Cut = tuple[tuple[Part, ...], ...]  # parts by axis; one part is a slice, several are joined


class DoesNotFit(NasctlError):
    """A network whose parameters do not fit into a hull."""


@dataclass
class HullAxis:
    """One axis of a slot: the longest that any parameter needs.

    Where networks join several sources whose numbers of channels differ between networks, each source has a range of
    its own, since its channels would otherwise begin at another place in each network. Any other axis has one range, of
    which a parameter takes the first numbers, or those in the middle. A concatenation of equal widths, as in the cells
    of DARTS, is therefore shared by place.
    """

    length: int = 0
    centred: bool = False
    joins: bool = False  # whether any network joins several sources here
    widest: dict[str, int] = field(default_factory=dict)  # numbers of each source, in the order of their ranges
    narrowest: dict[str, int] = field(default_factory=dict)

    @property
    def ranged(self) -> bool:
        """True if each source has a range of its own."""
        return self.joins and self.widest != self.narrowest

    @property
    def size(self) -> int:
        """The length of the axis in the slot's tensor."""
        return sum(self.widest.values()) if self.ranged else self.length

    def widen(self, axis: SlotAxis) -> bool:
        """Make room for a parameter's axis, and return whether there was none."""
        before = self.size
        self.length = max(self.length, axis.size)
        self.centred = axis.centred
        self.joins |= len(axis.sources) > 1
        for name, width in axis.sources:
            self.widest[name] = max(self.widest.get(name, width), width)
            self.narrowest[name] = min(self.narrowest.get(name, width), width)
        return self.size != before

    def parts(self, axis: SlotAxis) -> tuple[Part, ...] | None:
        """Return the slices that a parameter's axis consists of; None if it does not fit."""
        if not self.ranged:
            start = (self.length - axis.size) // 2 if self.centred else 0
            return ((start, axis.size),) if axis.size <= self.length else None
        if any(width > self.widest.get(name, 0) for name, width in axis.sources):
            return None
        starts = dict(zip(self.widest, np.cumsum([0, *self.widest.values()]).tolist(), strict=False))
        found: list[Part] = []
        for name, width in axis.sources:
            start = starts[name]
            if found and sum(found[-1]) == start:
                found[-1] = found[-1][0], found[-1][1] + width
            else:
                found.append((start, width))
        return tuple(found)


@dataclass
class HullSlot:
    """A slot of the hull."""

    axes: list[HullAxis]
    role: str
    largest: tuple[Genome, Use] | None = None  # the largest parameter that is a slice of the slot, and its genome

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the slot's tensor."""
        return tuple(axis.size for axis in self.axes)


class Hull:
    """The slots of the networks of a space.

    Args:
        networks: The networks.
    """

    def __init__(self, networks: ElasticNetworks) -> None:
        self.networks = networks
        self.slots: dict[str, HullSlot] = {}
        self.is_complete = True
        self.cuts = lru_cache(maxsize=1 << 12)(self._cuts)

    @classmethod
    def of(cls, networks: ElasticNetworks) -> Hull:
        """Return the hull of the networks of a space.

        The all-first and the all-last genome are the anchors, with a few random ones. Every choice of every gene is
        tried on each anchor, and then random genomes until 1,000 in a row have fitted. After 20,000 the hull is taken
        as it is, and `is_complete` is False: some networks are not in it.

        Raises:
            NasctlError: A slot would have to hold tensors of several kinds, which the message names, or there are too
                many slots.
        """
        hull, rng, space = cls(networks), np.random.default_rng(0), networks.space
        for genome in _anchored(space, rng):
            hull.add(genome)
        ordered = networks.share == "entangled" and all(gene.ordered for gene in space.genes)
        quiet, needed = 0, QUIET_ORDERED if ordered else QUIET
        for _ in range(LIMIT):
            quiet = 0 if hull.add(random_genome(space, rng)) else quiet + 1
            hull.is_complete = quiet == needed
            if hull.is_complete:
                break
        hull.cuts.cache_clear()
        return hull

    @classmethod
    def read(cls, networks: ElasticNetworks, text: str | bytes) -> Hull:
        """Return the hull that `text` wrote, without a look at any network.

        Args:
            networks: The networks of the space.
            text: JSON.

        Raises:
            NasctlError: The text is none that `text` writes.
        """
        hull = cls(networks)
        try:
            hull.slots = msgspec.json.decode(text, type=dict[str, HullSlot])
        except msgspec.MsgspecError as error:
            raise NasctlError(f"Cannot read the slots of a supernet: {error}. Train it again.") from None
        return hull

    def text(self) -> str:
        """Return the slots as JSON, in their order and with the order of the sources of each axis."""
        return msgspec.json.encode({name: replace(slot, largest=None) for name, slot in self.slots.items()}).decode()

    @property
    def has_gates(self) -> bool:
        """True if networks differ in the widths of gates, each of which has a range of its own."""
        axes = [axis for slot in self.slots.values() for axis in slot.axes if axis.ranged]
        return any(name.startswith(GATE) for axis in axes for name in axis.widest)

    @property
    def params(self) -> int:
        """Number of weights."""
        return sum(prod(slot.shape) for slot in self.slots.values())

    def add(self, genome: Genome) -> bool:
        """Make room for a genome, and return whether the hull has grown."""
        grown = False
        for use in self.networks.uses(genome):
            slot = self.slots.get(use.slot)
            if slot is None:
                slot = self.slots[use.slot] = HullSlot([HullAxis() for _ in use.axes], use.role, (genome, use))
                grown = True
            if len(slot.axes) != len(use.axes):
                raise NasctlError(
                    f"Cannot share the weights of {use.slot}: it has {len(slot.axes)} axes in one network and"
                    f" {len(use.axes)} in another. Give layers of different kinds different names."
                )
            wider = [axis.widen(own) for axis, own in zip(slot.axes, use.axes, strict=True)]  # each of them
            grown |= any(wider)
            if len(self.slots) > MOST_SLOTS:
                raise NasctlError(
                    f"Cannot share the weights of this space by {self.networks.share}: its networks have more than"
                    f" {MOST_SLOTS:,} different layers. Give share=entangled."
                )
            if slot.largest is None or _size(use) > _size(slot.largest[1]):
                slot.largest = genome, use
        return grown

    def fits(self, genome: Genome) -> bool:
        """Return whether the weights of a genome are slices of the hull."""
        try:
            self.cuts(genome)
        except DoesNotFit:
            return False
        return True

    def _cuts(self, genome: Genome) -> tuple[tuple[str, str, Cut | None], ...]:
        """Return parameter, slot and slice of each parameter of a genome; no slice where the whole slot is used.

        Raises:
            DoesNotFit: The hull has no place for one.
        """
        found = []
        for use in self.networks.uses(genome):
            slot = self.slots.get(use.slot)
            parts = None if slot is None else [axis.parts(own) for axis, own in zip(slot.axes, use.axes, strict=True)]
            if slot is None or parts is None or any(one is None for one in parts):
                raise DoesNotFit(f"the weights {use.slot} of this network have no place among those that were trained")
            cut = tuple(one for one in parts if one is not None)
            whole = cut == tuple(((0, size),) for size in slot.shape)
            found.append((use.parameter, use.slot, None if whole else cut))
        return tuple(found)


def sliced(tensor: Tensor, cut: Cut | None) -> Tensor:
    """Return the slice of a slot's tensor; a view where no axis joins several parts."""
    for axis, parts in enumerate(cut or ()):
        if len(parts) == 1:
            start, length = parts[0]
            if length != tensor.shape[axis]:
                tensor = tensor.narrow(axis, start, length)
        else:
            tensor = torch.cat([tensor.narrow(axis, start, length) for start, length in parts], axis)
    return tensor


def random_genome(space: SearchSpace, rng: np.random.Generator) -> Genome:
    """Return a canonical genome whose genes are drawn uniformly."""
    return space.canonical(tuple(int(rng.integers(len(gene.choices))) for gene in space.genes))


def _anchored(space: SearchSpace, rng: np.random.Generator) -> Iterator[Genome]:
    """Yield anchors and their neighbours in single genes, canonical."""
    counts = [len(gene.choices) for gene in space.genes]
    raw: list[Sequence[int]] = [[count - 1 for count in counts], [0] * len(counts)]
    raw += [[int(rng.integers(count)) for count in counts] for _ in range(ANCHORS)]
    for anchor in raw:
        yield from _valid(space, [anchor])
        yield from _valid(
            space,
            ([*anchor[:k], choice, *anchor[k + 1 :]] for k, count in enumerate(counts) for choice in range(count)),
        )


def _valid(space: SearchSpace, genomes: Iterable[Sequence[int]]) -> Iterator[Genome]:
    for genome in genomes:
        yield space.canonical(tuple(genome))


def _size(use: Use) -> int:
    return prod(axis.size for axis in use.axes)


__all__ = ["Cut", "DoesNotFit", "Hull", "random_genome", "sliced"]

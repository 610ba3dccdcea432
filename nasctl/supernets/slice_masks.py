"""Masks of the shared weights of one network, as functions of factors of the choices of its genes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, product
from math import prod

import numpy as np
import torch
from torch import Tensor

from nasctl.errors import NasctlError
from nasctl.problem.space import Genome
from nasctl.supernets.hull import Cut, Hull

MOST_COMBINATIONS = 4096  # choices of genes whose slices depend on each other

Slice = tuple[bytes, ...] | None  # by axis, the numbers of the network's tensor that a choice has; None if it has none

Slices = dict[str, Slice]  # by slot


@dataclass(frozen=True)
class MaskTerm:
    """A factor of the mask of a tensor, which some genes decide together.

    Attributes:
        genes: The genes; several where the slice of one choice depends on another gene, as hidden channels do on width
            times expansion.
        slices: Combinations of the genes' choices that have each slice, (slices, combinations).
        axes: Numbers along each axis that each slice has, (slices, length) each. No axis: each slice is the whole.
    """

    genes: tuple[int, ...]
    slices: Tensor
    axes: tuple[Tensor, ...]

    def mask(self, factors: Mapping[int, Tensor]) -> Tensor:
        """Return the sum over slices of factor times indicator, of as many axes as `axes`."""
        joint = factors[self.genes[0]]
        for gene in self.genes[1:]:
            joint = (joint[:, None] * factors[gene]).flatten()
        own = self.slices.to(joint) @ joint
        if not self.axes:
            return own.sum()
        letters = "abcdefgh"[: len(self.axes)]
        equation = f"s,{','.join(f's{one}' for one in letters)}->{letters}"
        return torch.einsum(equation, own, *(one.to(own) for one in self.axes))


class SliceMasks:
    """The masks of all tensors of a network.

    The mask of a tensor is the product over genes of the sum over choices of factor times indicator, where the
    indicator of a choice is 1 for numbers that the network with this choice has, and 0 elsewhere (TangleNAS).

    Args:
        hull: The shared weights.
        base: Genome of the network.
        genes: Genes that have factors.
        choices: Choices of genes whose weights count; those of others are not part of the masks. All by default.

    Raises:
        NasctlError: The slices of the genes depend on each other in a way that masks cannot say.

    References:
        Sukthanker et al., "Weight-entanglement meets gradient-based neural architecture search", AutoML 2024,
        arXiv:2312.10440.
    """

    def __init__(
        self, hull: Hull, base: Genome, genes: Iterable[int], choices: Mapping[int, Sequence[int]] | None = None
    ) -> None:
        self.hull, self.base, self.genes = hull, base, tuple(genes)
        self._counts = [len(gene.choices) for gene in hull.networks.space.genes]
        self._choices = [
            range(count) if choices is None else choices.get(g, ()) for g, count in enumerate(self._counts)
        ]
        self._cuts: dict[str, Cut | None] = {slot: cut for _, slot, cut in hull.cuts(base)}
        self._whole: Slices = self.slices(base)
        self._terms: list[MaskTerm] = []
        self._known: dict[object, int] = {}
        self.places = self._placed_terms()
        self._moved: dict[torch.device, list[MaskTerm]] = {}

    def masks(self, factors: Mapping[int, Tensor], device: torch.device) -> dict[str, list[tuple[Tensor, bool]]]:
        """Return the factors of the mask of each slot that has one, which broadcast, and whether each varies in it.

        Args:
            factors: Factors of the choices of genes, (choices,). A gene without has that of the network alone.
            device: Device of the masks.
        """
        given = {gene: factors.get(gene, self._one_hot(gene, device)) for gene in self.genes}
        made = [term.mask(given) for term in self._on(device)]
        return {
            slot: [(made[term].reshape(shape), len(made[term].shape) > 0) for term, shape in terms]
            for slot, terms in self.places.items()
        }

    def slices(self, genome: Genome) -> Slices:
        """Return the slices of the network's tensors that a genome has.

        Raises:
            NasctlError: The genome has weights that the network lacks.
        """
        found: Slices = dict.fromkeys(self._cuts)
        for _, slot, cut in self.hull.cuts(genome):
            if slot not in found:
                raise NasctlError(f"the weights {slot.partition('|')[0]} are not those of the largest network")
            found[slot] = _within(self.hull.slots[slot].shape, self._cuts[slot], cut)
        return found

    def changed(self, choices: Mapping[int, int]) -> Genome:
        """Return the genome of the network with other choices of some genes."""
        raw = [choices.get(gene, choice) for gene, choice in enumerate(self.base)]
        return self.hull.networks.space.canonical(tuple(raw))

    def _on(self, device: torch.device) -> list[MaskTerm]:
        if device not in self._moved:
            self._moved[device] = [
                MaskTerm(one.genes, one.slices.to(device), tuple(axis.to(device) for axis in one.axes))
                for one in self._terms
            ]
        return self._moved[device]

    def _one_hot(self, gene: int, device: torch.device) -> Tensor:
        found = torch.zeros(self._counts[gene], device=device)
        found[self.base[gene]] = 1
        return found

    def _placed_terms(self) -> dict[str, list[tuple[int, tuple[int, ...]]]]:
        """Return the terms of each slot, with the shape that each mask has among the axes of the slot."""
        singles = {
            (gene, choice): self.slices(self.changed({gene: choice}))
            for gene in self.genes
            for choice in self._choices[gene]
        }
        joint = self._joint_genes(singles)
        known: dict[tuple[int, ...], list[Slices]] = {}
        found: dict[str, list[tuple[int, tuple[int, ...]]]] = {}
        for slot in self._whole:
            changing = [
                gene
                for gene in self.genes
                if any(singles[gene, choice][slot] != self._whole[slot] for choice in self._choices[gene])
            ]
            for group in _groups(changing, joint.get(slot, ())):
                if group not in known:
                    known[group] = self._combined(group)
                found.setdefault(slot, []).append(self._term(group, [one[slot] for one in known[group]], slot))
        return found

    def _joint_genes(self, singles: Mapping[tuple[int, int], Slices]) -> dict[str, set[tuple[int, int]]]:
        """Return the pairs of genes, by slot, whose slices together are not the intersection of those of each."""
        narrow: dict[int, set[tuple[str, int]]] = {}  # slots and axes that a gene makes shorter
        for (gene, _), slices in singles.items():
            for slot, own in slices.items():
                if own is not None and own != self._whole[slot]:
                    whole = self._whole[slot] or ()
                    narrow.setdefault(gene, set()).update(
                        (slot, axis) for axis, (mine, all_) in enumerate(zip(own, whole, strict=True)) if mine != all_
                    )
        found: dict[str, set[tuple[int, int]]] = {}
        for first, second in combinations(sorted(narrow), 2):
            slots = {slot for slot, _ in narrow[first] & narrow[second]}
            for one, other in product(self._choices[first], self._choices[second]) if slots else ():
                if self.base[first] == one or self.base[second] == other:
                    continue
                actual = self._together({first: one, second: other})
                for slot in slots:
                    if actual[slot] != _intersection(singles[first, one][slot], singles[second, other][slot]):
                        found.setdefault(slot, set()).add((first, second))
        return found

    def _combined(self, genes: tuple[int, ...]) -> list[Slices]:
        """Return the slices of all combinations of choices of some genes."""
        ranges = [range(self._counts[gene]) for gene in genes]
        if prod(map(len, ranges)) > MOST_COMBINATIONS:
            names = ", ".join(self.hull.networks.space.genes[gene].name for gene in genes)
            raise NasctlError(
                f"Cannot entangle the choices of {names}: the slices of weights depend on more than"
                f" {MOST_COMBINATIONS:,} combinations of them. Choose another strategy."
            )
        found: list[Slices] = []
        for one in product(*ranges):
            counts = all(choice in self._choices[gene] for gene, choice in zip(genes, one, strict=True))
            found.append(self._together(dict(zip(genes, one, strict=True))) if counts else dict.fromkeys(self._whole))
        return found

    def _together(self, choices: Mapping[int, int]) -> Slices:
        """Return the slices of choices of several genes, each of which alone is a slice."""
        try:
            return self.slices(self.changed(choices))
        except NasctlError as reason:
            names = " and ".join(self.hull.networks.space.genes[gene].name for gene in choices)
            raise NasctlError(
                f"Cannot entangle the choices of {names}: with both, {reason}. Choose another strategy."
            ) from reason

    def _term(self, genes: tuple[int, ...], slices: Sequence[Slice], slot: str) -> tuple[int, tuple[int, ...]]:
        """Return the place of a term, which equal tensors share, and the shape of its mask in a slot."""
        kinds = [one for one in dict.fromkeys(slices) if one is not None]
        whole = self._whole[slot] or ()
        axes = [axis for axis in range(len(whole)) if any(one[axis] != whole[axis] for one in kinds)]
        shape = tuple(len(own) if axis in axes else 1 for axis, own in enumerate(whole))
        rows = tuple(tuple(one == kind for one in slices) for kind in kinds)
        columns = tuple(tuple(kind[axis] for kind in kinds) for axis in axes)
        key = genes, rows, columns
        if key not in self._known:
            self._known[key] = len(self._terms)
            tables = tuple(_table(column) for column in columns)
            self._terms.append(MaskTerm(genes, torch.tensor(rows).float().reshape(len(kinds), len(slices)), tables))
        return self._known[key], shape


@lru_cache(maxsize=1 << 14)
def _within(shape: tuple[int, ...], base: Cut | None, cut: Cut | None) -> Slice:
    """Return the numbers of a cut along each axis of another cut of a slot of a shape.

    Raises:
        NasctlError: The cut has numbers that the other lacks.
    """
    found = []
    for axis, size in enumerate(shape):
        own, outer = _numbers(size, cut, axis), _numbers(size, base, axis)
        if (own & ~outer).any():
            raise NasctlError("some weights are not those of the largest network")
        found.append(own[outer].tobytes())
    return tuple(found)


def _numbers(size: int, cut: Cut | None, axis: int) -> np.ndarray:
    """Return which numbers along an axis a cut has, (size,)."""
    if cut is None:
        return np.ones(size, bool)
    found = np.zeros(size, bool)
    for start, length in cut[axis]:
        found[start : start + length] = True
    return found


def _table(rows: Sequence[bytes]) -> Tensor:
    return torch.from_numpy(np.stack([np.frombuffer(one, bool) for one in rows]).astype(np.float32))


def _both(first: bytes, second: bytes) -> bytes:
    found: bytes = (np.frombuffer(first, bool) & np.frombuffer(second, bool)).tobytes()
    return found


def _intersection(first: Slice, second: Slice) -> Slice:
    if first is None or second is None:
        return None
    return tuple(_both(one, other) for one, other in zip(first, second, strict=True))


def _groups(genes: Sequence[int], pairs: Iterable[tuple[int, int]]) -> list[tuple[int, ...]]:
    """Return genes in groups, such that both genes of each pair are in one group."""
    group = {gene: {gene} for gene in genes}
    for first, second in pairs:
        merged = group[first] | group[second]
        for gene in merged:
            group[gene] = merged
    return sorted({tuple(sorted(one)) for one in group.values()})


__all__ = ["MaskTerm", "Slice", "SliceMasks", "Slices"]

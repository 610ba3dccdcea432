"""Coarse-to-fine search: a grid over groups of genes, then mutations of single genes around its best networks.

References:
    Yu et al., "BigNAS: Scaling up neural architecture search with big single-stage models", ECCV 2020,
    arXiv:2003.11142, section 3.4, "Coarse-to-fine architecture selection".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain, product, zip_longest
from math import prod

import numpy as np

from nasctl.api import Archive, BadOption, Gene, Genome, Problem, SearchSpace, promising, starting_genomes, unseen
from nasctl.searchers._neighbours import neighbors
from nasctl.searchers._ranking import best_first

__all__ = ["CoarseToFine"]


class CoarseToFine:
    """A search of a coarse grid, in which genes of a stage move together, followed by mutations of single genes.

    Coarse phase: genes form groups, and the genes of a group take the same choice, or the nearest one if they have
    different numbers of choices. Groups follow from the names of genes, from fine to coarse:

    1. Genes of equal stage and name: "stage1.0.kernel" and "stage1.1.kernel".
    2. Genes of names that are equal without digits: "stage1.kernel" and "stage2.kernel", or "edge01" and "edge23".
    3. Genes of equal last part: "cell1.channels" and "reduction1.channels".

    The finest grouping is used whose grid has at most `grid` points. If even the coarsest grid is larger, a random
    sample of `grid` points of it is evaluated. Points that violate a constraint on arithmetic objectives are left out.
    Published networks of the space come first.

    Fine phase: each round evaluates up to `mutations` networks that differ in one gene from a network of the front,
    with equal shares for the networks of the front. When the neighbourhoods of the front are used up, those of the next
    best networks follow, and random genomes at last.

    With one objective, the front is its best network within the constraints, as in BigNAS. With several, it holds the
    best network under each bound of a cost. A network is never proposed twice.

    Args:
        problem: Search space, objectives and constraints.
        rng: Source of all randomness.
        grid: Maximum number of points of the coarse grid.
        mutations: Maximum number of networks per round of the fine phase.
    """

    def __init__(self, problem: Problem, rng: np.random.Generator, grid: int = 200, mutations: int = 200) -> None:
        if not 1 <= grid <= 100_000 or not 1 <= mutations <= 10_000:
            raise BadOption(
                "grid must be 1 to 100,000 and mutations must be 1 to 10,000, "
                f"got grid={grid},mutations={mutations} (options of coarse_to_fine)"
            )
        self._problem, self._space, self._rng = problem, problem.space, rng
        self._grid, self._mutations = grid, mutations
        self._raw: dict[Genome, Genome] = {}  # canonical -> raw, of all proposed genomes
        self._archive = Archive(len(problem.objectives))
        self._told: dict[Genome, tuple[np.ndarray, float]] = {}  # canonical -> losses, (M,), and total violation
        self._near: dict[Genome, list[Genome]] = {}  # unevaluated neighbours by canonical genome, not canonical
        self._asked: list[Genome] = []

    def ask(self) -> list[Genome]:
        fresh = self._fine_genomes() if self._raw else self._coarse_genomes()
        if not fresh:
            drawn = unseen(self._space, self._rng, self._mutations, self._raw)
            fresh = {self._space.canonical(raw): raw for raw in drawn}
        self._raw |= fresh
        self._asked = list(fresh)
        return self._asked

    def replace_batch(self, genomes: Sequence[Genome]) -> None:
        """Put other genomes in place of the last ask; see `AcceptsBatch`."""
        bred = {genome: self._raw.pop(genome) for genome in self._asked}  # those not taken may be proposed again
        self._raw |= {genome: bred.get(genome, genome) for genome in genomes}
        self._near.clear()
        self._asked = list(genomes)

    def tell(self, losses: np.ndarray, violations: np.ndarray) -> None:
        for genome, row, broken in zip(self._asked, losses, violations.sum(axis=1).tolist(), strict=True):
            self._told[genome] = row, broken
            if broken == 0 and not np.isnan(row).any():
                self._archive.add(genome, row)

    def _coarse_genomes(self) -> dict[Genome, Genome]:
        """Return the raw genomes of the grid by canonical genome, or promising genomes if all violate constraints."""
        first = {genome: genome for genome in starting_genomes(self._problem)}
        points = {self._space.canonical(raw): raw for raw in coarse_grid(self._space, self._grid, self._rng)}
        fresh = [genome for genome in points if genome not in first]
        excess = self._problem.violation(fresh) if fresh else ()
        kept = {genome: points[genome] for genome, over in zip(fresh, excess, strict=True) if over == 0}
        if not kept:
            drawn = promising(self._problem, self._rng, min(self._grid, self._mutations), first)
            kept = {self._space.canonical(raw): raw for raw in drawn}
        return first | kept

    def _fine_genomes(self) -> dict[Genome, Genome]:
        """Return raw genomes of the next round by canonical genome; none if all neighbours are evaluated."""
        front = self._archive.genomes
        found = self._neighbours(front)
        if found or not self._told:
            return found
        # The neighbourhoods of the front are used up.
        genomes = list(self._told)
        losses = np.array([row for row, _ in self._told.values()])
        broken = np.array([excess for _, excess in self._told.values()])
        for place in best_first(losses, broken, len(genomes)).tolist():
            if found := self._neighbours([genomes[place]]):
                return found
        return {}

    def _neighbours(self, centres: Sequence[Genome]) -> dict[Genome, Genome]:
        """Return new neighbours of evaluated genomes, feasible by cost, in turns over the centres, at most a round."""
        mixed = [centres[k] for k in self._rng.permutation(len(centres)).tolist()]
        turns = chain.from_iterable(zip_longest(*map(self._new_neighbours, mixed)))
        found: dict[Genome, Genome] = {}
        for pair in turns:
            if len(found) == self._mutations:
                break
            if pair is not None:
                found.setdefault(*pair)
        return found

    def _new_neighbours(self, centre: Genome) -> Iterator[tuple[Genome, Genome]]:
        """Yield canonical and raw genomes of the neighbours that were not proposed and satisfy constraints on costs."""
        if centre not in self._near:
            self._near[centre] = neighbors(self._space, self._rng, self._raw[centre])
        # A neighbour that violates a constraint by its cost never becomes feasible, so it is dropped for good.
        pairs = [(self._space.canonical(raw), raw) for raw in self._near[centre]]
        fresh = {genome: raw for genome, raw in pairs if genome not in self._raw}
        excess = self._problem.violation(list(fresh)) if fresh else ()
        self._near[centre] = [raw for raw, over in zip(fresh.values(), excess, strict=True) if over == 0]
        for raw in self._near[centre]:
            yield self._space.canonical(raw), raw


def coarse_grid(space: SearchSpace, limit: int, rng: np.random.Generator) -> list[Genome]:
    """Return the raw genomes of the coarse grid in random order, at most `limit`.

    A search that ends early has then seen points of the whole grid.

    Args:
        space: Search space.
        limit: Maximum number of points.
        rng: Source of all randomness.
    """
    groups = next((one for one in groupings(space.genes) if _size(space.genes, one) <= limit), None)
    if groups is None:
        groups = groupings(space.genes)[-1]
        levels = np.array([_levels(space.genes, group) for group in groups])
        points = dict.fromkeys(map(tuple, rng.integers(levels, size=(limit, len(levels))).tolist()))
    else:
        points = dict.fromkeys(product(*(range(_levels(space.genes, group)) for group in groups)))
    listed = [_genome(space.genes, groups, point) for point in points]
    return [listed[k] for k in rng.permutation(len(listed)).tolist()]


def groupings(genes: Sequence[Gene]) -> list[list[list[int]]]:
    """Return the three groupings of genes by name, from fine to coarse, as positions of genes."""
    found = []
    for level in range(3):
        groups: dict[str, list[int]] = {}
        for place, gene in enumerate(genes):
            groups.setdefault(_group_names(gene.name)[level] or gene.name, []).append(place)
        found.append(list(groups.values()))
    return found


def _group_names(name: str) -> tuple[str, str, str]:
    """Return the names of the groups of a gene: "stage1.kernel", "stage.kernel" and "kernel" of "stage1.0.kernel"."""
    of_stage = ".".join(part for part in name.split(".") if not part.isdigit())
    without_digits = _without_digits(name)
    return of_stage, without_digits, without_digits.rpartition(".")[2]


def _without_digits(name: str) -> str:
    """Return the name of a gene without digits and without the parts that consist of digits: "stage.kernel"."""
    return ".".join(filter(None, (re.sub(r"\d+", "", part) for part in name.split("."))))


def _levels(genes: Sequence[Gene], group: Sequence[int]) -> int:
    """Return the number of choices of a group: the largest number of choices of its genes."""
    return max(len(genes[gene].choices) for gene in group)


def _size(genes: Sequence[Gene], groups: Sequence[Sequence[int]]) -> int:
    """Return the number of points of the grid of a grouping."""
    return prod(_levels(genes, group) for group in groups)


def _genome(genes: Sequence[Gene], groups: Sequence[Sequence[int]], point: Sequence[int]) -> Genome:
    """Return the raw genome of a point of the grid.

    A gene with fewer choices than its group takes the choice at the same relative position, rounded half up.
    """
    genome = [0] * len(genes)
    for group, level in zip(groups, point, strict=True):
        last = max(_levels(genes, group) - 1, 1)
        for gene in group:
            genome[gene] = (2 * level * (len(genes[gene].choices) - 1) + last) // (2 * last)
    return tuple(genome)

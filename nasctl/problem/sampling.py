"""Random genomes, each canonical genome at most once."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import product
from math import prod

import numpy as np

from nasctl.problem.searcher import HasStartingGenomes, Problem
from nasctl.problem.space import Genome, SearchSpace

ENUMERABLE = 20_000  # the most raw genomes of a space that is enumerated when random draws find nothing new

OVERSAMPLING = 50  # genomes drawn per requested genome if random genomes violate constraints

DESCENT = 10_000  # changes of single genes that are tried in all if no random genome satisfies the constraints

ROUNDS = 100  # rounds of draws, each for the genomes that are still missing


def unseen(space: SearchSpace, rng: np.random.Generator, number: int, seen: Collection[Genome] = ()) -> list[Genome]:
    """Return raw genomes, drawn uniformly, whose canonical genomes are distinct and not in `seen`.

    Args:
        space: The space to draw from.
        rng: The random generator.
        number: The number of genomes.
        seen: Canonical genomes to leave out.

    Returns:
        `number` genomes; fewer if the space has no more, or if 100 rounds of draws from a large space find no more.
    """
    cardinalities = [len(gene.choices) for gene in space.genes]
    found: dict[Genome, Genome] = {}  # canonical -> raw
    for _ in range(ROUNDS):
        for raw in map(tuple, rng.integers(cardinalities, size=(number - len(found), len(cardinalities))).tolist()):
            if (canonical := space.canonical(raw)) not in seen:
                found.setdefault(canonical, raw)
        if len(found) == number:
            return list(found.values())
    if prod(cardinalities) <= ENUMERABLE:
        for canonical in every(space):
            if canonical not in seen and len(found) < number:
                found.setdefault(canonical, canonical)
    return list(found.values())


def promising(problem: Problem, rng: np.random.Generator, number: int, seen: Collection[Genome] = ()) -> list[Genome]:
    """Return raw genomes for the start of a search: those that the problem names, then random ones as of `unseen`.

    If some of the random ones violate constraints that need no module, they come from a larger sample, and are those
    with the least violation. If none of the larger sample satisfies the constraints, single genes of the least
    violating ones are changed as long as that lowers the violation, because a bound that a random genome meets once in
    a million draws would leave the front empty.

    Args:
        problem: The problem to search.
        rng: The random generator.
        number: The number of genomes.
        seen: Canonical genomes to leave out.
    """
    space, first = problem.space, [one for one in starting_genomes(problem) if one not in seen][:number]
    if first:
        seen, number = {*seen, *first}, number - len(first)
    drawn = unseen(space, rng, number, seen)
    if not problem.violation([space.canonical(raw) for raw in drawn]).any():
        return first + drawn
    drawn = unseen(space, rng, number * OVERSAMPLING, seen)
    excess = problem.violation([space.canonical(raw) for raw in drawn])
    order = np.argsort(excess, kind="stable")[:number]
    best = [drawn[k] for k in order]
    return first + (_descended(problem, rng, best, excess[order], seen) if len(excess) and excess.min() > 0 else best)


def _descended(
    problem: Problem, rng: np.random.Generator, genomes: list[Genome], excess: np.ndarray, seen: Collection[Genome]
) -> list[Genome]:
    """Return raw genomes with less violation, each reached from one of the given by changes of single genes.

    Args:
        problem: The problem to search.
        rng: The random generator.
        genomes: Raw genomes to begin with, whose canonical genomes are distinct, (N,).
        excess: Their violations, (N,).
        seen: Canonical genomes to leave out.
    """
    space = problem.space
    cardinalities = np.array([len(gene.choices) for gene in space.genes])
    found, excess = list(genomes), np.array(excess)
    for _ in range(DESCENT // len(found)):
        places = np.flatnonzero(excess > 0)
        if not len(places):
            break
        changed = np.array(found)[places]
        genes = rng.integers(len(cardinalities), size=len(places))
        changed[np.arange(len(places)), genes] = rng.integers(cardinalities[genes])
        children = [tuple(row) for row in changed.tolist()]
        canonical = [space.canonical(child) for child in children]
        taken = {*seen, *map(space.canonical, found)}
        for place, child, own, after in zip(places, children, canonical, problem.violation(canonical), strict=True):
            if after < excess[place] and own not in taken:
                found[place], excess[place] = child, after
                taken.add(own)
    return found


def starting_genomes(problem: Problem) -> list[Genome]:
    """Return the canonical genomes that a problem names to begin with, whatever constraints they violate."""
    return list(problem.starting_genomes) if isinstance(problem, HasStartingGenomes) else []


def every(space: SearchSpace) -> Iterator[Genome]:
    """Return every canonical genome of a space once, sorted. Use it for spaces of up to `ENUMERABLE` raw genomes."""
    listed = {space.canonical(genome) for genome in product(*(range(len(gene.choices)) for gene in space.genes))}
    return iter(sorted(listed))

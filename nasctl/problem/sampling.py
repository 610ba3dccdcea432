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
    with the least violation.

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
    return first + [drawn[k] for k in np.argsort(excess, kind="stable")[:number]]


def starting_genomes(problem: Problem) -> list[Genome]:
    """Return the canonical genomes that a problem names to begin with, whatever constraints they violate."""
    return list(problem.starting_genomes) if isinstance(problem, HasStartingGenomes) else []


def every(space: SearchSpace) -> Iterator[Genome]:
    """Return every canonical genome of a space once, sorted. Use it for spaces of up to `ENUMERABLE` raw genomes."""
    listed = {space.canonical(genome) for genome in product(*(range(len(gene.choices)) for gene in space.genes))}
    return iter(sorted(listed))

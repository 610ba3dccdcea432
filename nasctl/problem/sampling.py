"""Genomes drawn at random, each different network once."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import product
from math import prod

import numpy as np

from nasctl.problem.searcher import Problem
from nasctl.problem.space import Genome, SearchSpace

ENUMERABLE = 20_000  # genomes up to which a space is listed rather than drawn from until nothing new comes
OVERSAMPLING = 50  # genomes drawn for each one that is wanted under constraints
TRIES = 100  # draws for each genome that is wanted


def unseen(space: SearchSpace, rng: np.random.Generator, number: int, seen: Collection[Genome] = ()) -> list[Genome]:
    """Different genomes that are not in `seen`, drawn uniformly over raw genomes, not canonical themselves.

    Different means different canonical genomes, which is what `seen` holds too.

    Returns:
        `number` of them, or fewer where the space, or the patience to draw from a very large one, is used up.
    """
    cardinalities = [len(gene.choices) for gene in space.genes]
    found: dict[Genome, Genome] = {}  # canonical -> raw
    for _ in range(TRIES):
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
    """Random genomes that a search may begin with, as `unseen` has them.

    With constraints on what needs no module they are the first of a larger sample that hold them, or break them least.
    """
    space = problem.space
    drawn = unseen(space, rng, number, seen)
    if not problem.violation([space.canonical(raw) for raw in drawn]).any():
        return drawn
    drawn = unseen(space, rng, number * OVERSAMPLING, seen)
    excess = problem.violation([space.canonical(raw) for raw in drawn])
    return [drawn[k] for k in np.argsort(excess, kind="stable")[:number]]


def every(space: SearchSpace) -> Iterator[Genome]:
    """Every canonical genome of a space, once; only for spaces of up to ENUMERABLE genomes."""
    listed = {space.canonical(genome) for genome in product(*(range(len(gene.choices)) for gene in space.genes))}
    return iter(sorted(listed))

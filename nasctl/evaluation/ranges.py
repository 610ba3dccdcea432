"""Ranges of objectives over a search space."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from math import prod

import numpy as np

from nasctl.candidates.candidate import Candidate
from nasctl.candidates.objective import MaybeMonotone, Objective
from nasctl.candidates.setting import DEFAULT_SETTING, Setting
from nasctl.errors import NasctlError
from nasctl.evaluation.measure import score
from nasctl.problem.constraints import Constraint, prefix_hint
from nasctl.problem.sampling import ENUMERABLE, every, unseen
from nasctl.problem.space import Genome, SearchSpace

SAMPLE = 200  # genomes that a range is estimated from where a space cannot be enumerated


@dataclass(frozen=True, slots=True)
class Bounds:
    """The range of an objective over a space.

    Attributes:
        least: Least value; NaN if the objective failed for every network that was tried.
        most: Greatest value; NaN likewise.
        proven: Whether no network has a value outside the range. Otherwise a heuristic search found the range.
        ends: Canonical genomes with the least and the greatest value; empty without values.
    """

    least: float
    most: float
    proven: bool
    ends: tuple[Genome, ...] = field(default=(), compare=False)


def sample(space: SearchSpace, number: int = SAMPLE, seed: int = 0) -> list[Genome]:
    """Return `number` different canonical genomes, drawn at random; fewer if the space has no more."""
    return [space.canonical(raw) for raw in unseen(space, np.random.default_rng(seed), number)]


def bounds(
    space: SearchSpace, objective: Objective, setting: Setting = DEFAULT_SETTING, exhaust: bool = True
) -> Bounds:
    """Return the range of an objective that needs no module.

    The range is proven if the space is small enough to enumerate, or if all genes are ordered, as far as changes of
    single genes show, and the objective is monotone. Otherwise coordinate descent finds it: from the best genome of a
    sample, each gene in turn is set to its best choice until no change of one gene helps.

    Args:
        space: The space.
        objective: An objective that needs no module.
        setting: The setting that the values depend on.
        exhaust: Whether to enumerate a small space, which may take some seconds.
    """

    @cache
    def scored(canonical: Genome) -> float:
        found = score(objective, Candidate(space, canonical, setting, objective.needs)).value
        return math.nan if found is None else found

    def value(genome: Genome) -> float:
        return scored(space.canonical(genome))

    def between(least: Genome, most: Genome, proven: bool) -> Bounds:
        return Bounds(value(least), value(most), proven, (space.canonical(least), space.canonical(most)))

    cardinalities = [len(gene.choices) for gene in space.genes]
    if exhaust and prod(cardinalities) <= ENUMERABLE:
        found = _values(every(space), value)
        return between(*_ends(found), proven=True) if found else Bounds(math.nan, math.nan, proven=True)
    monotone = isinstance(objective, MaybeMonotone) and objective.monotone
    if monotone and all(gene.ordered for gene in space.genes) and _is_ordered(cardinalities, value):
        return between((0,) * len(cardinalities), tuple(size - 1 for size in cardinalities), proven=True)
    drawn = _values(sample(space), value)
    if not drawn:
        return Bounds(math.nan, math.nan, proven=False)
    least, most = _ends(drawn)
    least = _descended(least, cardinalities, value)
    return between(least, _descended(most, cardinalities, lambda genome: -value(genome)), proven=False)


def doubt(space: SearchSpace, objective: Objective, constraint: Constraint, setting: Setting) -> str | None:
    """Return a warning if no candidate is known that satisfies a constraint; None if one is.

    Raises:
        NasctlError: It is proven that no candidate can satisfy the constraint.
    """
    found = bounds(space, objective, setting)
    nearest = found.least if constraint.upper else found.most
    if constraint.violation({constraint.name: nearest}) == 0 or math.isnan(nearest):
        return None
    word = "least" if constraint.upper else "most"
    bound = constraint.text(objective.unit)
    said = f"{constraint.name} of this space is {nearest:.6g} {objective.unit} at {word}"
    if found.proven:
        hint = prefix_hint(constraint, objective.unit, nearest)
        raise NasctlError(f"no candidate can meet {bound}: {said}; give a bound beyond that{hint and f'.{hint}'}")
    return f"perhaps no candidate can meet {bound}: {said}, as far as a quick look can tell"


def nearest(
    space: SearchSpace,
    objectives: Mapping[str, Objective],
    constraints: Sequence[Constraint],
    setting: Setting = DEFAULT_SETTING,
) -> tuple[Genome, dict[str, float]]:
    """Return the network that comes closest to constraints, as far as coordinate descent finds, and its values.

    The sum of the violations is descended from the best of a random sample and from the networks with the least and
    the most of each bounded objective. A network that holds all constraints has a sum of 0.

    Args:
        space: The space.
        objectives: The bounded objectives by name, none of which needs a module.
        constraints: The constraints, on these objectives.
        setting: The setting that values depend on.
    """

    @cache
    def values(canonical: Genome) -> dict[str, float]:
        scores = {
            name: score(one, Candidate(space, canonical, setting, one.needs)).value for name, one in objectives.items()
        }
        return {name: value for name, value in scores.items() if value is not None}

    def loss(genome: Genome) -> float:
        found = values(space.canonical(genome))
        return sum(constraint.violation(found) for constraint in constraints)

    cardinalities = [len(gene.choices) for gene in space.genes]
    starts = sample(space)
    for objective in objectives.values():
        starts += bounds(space, objective, setting, exhaust=False).ends
    best = min(starts, key=loss)
    found = space.canonical(best if loss(best) == 0 else _descended(best, cardinalities, loss))
    return found, dict(values(found))


def _values(genomes: Iterable[Genome], value: Callable[[Genome], float]) -> dict[Genome, float]:
    """Return the values of genomes, without those for which the objective failed."""
    return {genome: found for genome in genomes if not math.isnan(found := value(genome))}


def _ends(values: dict[Genome, float]) -> tuple[Genome, Genome]:
    """Return the genomes of the least and of the greatest value."""
    return min(values, key=values.__getitem__), max(values, key=values.__getitem__)


def _is_ordered(cardinalities: Sequence[int], value: Callable[[Genome], float]) -> bool:
    """Return whether no gene alone leads below the network of all first choices, or above that of all last ones.

    A space may promise an order that its choices do not have.
    """
    first, last = (0,) * len(cardinalities), tuple(size - 1 for size in cardinalities)
    least, most = value(first), value(last)
    return not any(
        value((*first[:k], last[k], *first[k + 1 :])) < least or value((*last[:k], 0, *last[k + 1 :])) > most
        for k in range(len(cardinalities))
    )


def _descended(genome: Genome, cardinalities: Sequence[int], loss: Callable[[Genome], float]) -> Genome:
    """Return the genome that coordinate descent reaches: each gene in turn is set to the choice of the least loss."""
    best, before = loss(genome), math.inf
    while best < before:
        before = best
        for k, size in enumerate(cardinalities):
            for choice in range(size):
                other = (*genome[:k], choice, *genome[k + 1 :])
                if (found := loss(other)) < best:
                    best, genome = found, other
    return genome

"""What a space can cost: a sample, and the least and the most that its networks can have of a quantity."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from math import prod

import numpy as np

from nasctl.candidates.candidate import Candidate
from nasctl.candidates.objective import MaybeMonotone, Objective
from nasctl.candidates.setting import DEFAULT_SETTING, Setting
from nasctl.errors import NasctlError
from nasctl.evaluation.measure import score
from nasctl.problem.constraints import Constraint
from nasctl.problem.sampling import ENUMERABLE, every, unseen
from nasctl.problem.space import Genome, SearchSpace

SAMPLE = 200


@dataclass(frozen=True, slots=True)
class Bounds:
    """The least and the most of a quantity over a space."""

    least: float  # NaN where it could be computed of no network
    most: float
    proven: bool  # whether no network lies beyond; otherwise it is the best that was found
    ends: tuple[Genome, ...] = field(default=(), compare=False)  # canonical ones that have the least and the most


def sample(space: SearchSpace, number: int = SAMPLE, seed: int = 0) -> list[Genome]:
    """So many different canonical genomes; fewer if the space has no more."""
    return [space.canonical(raw) for raw in unseen(space, np.random.default_rng(seed), number)]


def bounds(
    space: SearchSpace, objective: Objective, setting: Setting = DEFAULT_SETTING, exhaust: bool = True
) -> Bounds:
    """The range of an objective that is arithmetic on the network.

    Proven where the space is small enough to be enumerated, or where all its genes are ordered and the objective is
    monotone; otherwise by changing one gene at a time, from the best of a sample, for as long as that helps.

    Args:
        space: The space.
        objective: It needs no module.
        setting: What its values depend on besides the genome.
        exhaust: Whether to enumerate a small space, which may take some seconds.
    """

    @cache
    def scored(canonical: Genome) -> float:
        found = score(objective, Candidate(space, canonical, setting, objective.needs)).value
        return math.nan if found is None else found

    def value(genome: Genome) -> float:
        return scored(space.canonical(genome))

    def reach(least: Genome, most: Genome, proven: bool) -> Bounds:
        return Bounds(value(least), value(most), proven, (space.canonical(least), space.canonical(most)))

    cardinalities = [len(gene.choices) for gene in space.genes]
    if exhaust and prod(cardinalities) <= ENUMERABLE:
        found = _known(every(space), value)
        return reach(*_ends(found), proven=True) if found else Bounds(math.nan, math.nan, proven=True)
    if isinstance(objective, MaybeMonotone) and objective.monotone and all(gene.ordered for gene in space.genes):
        return reach((0,) * len(cardinalities), tuple(size - 1 for size in cardinalities), proven=True)
    drawn = _known(sample(space), value)
    if not drawn:
        return Bounds(math.nan, math.nan, proven=False)
    least, most = _ends(drawn)
    least = _descended(least, cardinalities, value)
    return reach(least, _descended(most, cardinalities, lambda genome: -value(genome)), proven=False)


def doubt(space: SearchSpace, objective: Objective, constraint: Constraint, setting: Setting) -> str | None:
    """What to tell a person before a search if perhaps no candidate meets a constraint; none if one was found.

    Raises:
        NasctlError: It is proven that none can.
    """
    reach = bounds(space, objective, setting)
    nearest = reach.least if constraint.upper else reach.most
    if constraint.violation({constraint.name: nearest}) == 0 or math.isnan(nearest):
        return None
    word = "least" if constraint.upper else "most"
    said = f"{constraint.name} of this space is {nearest:.6g} {objective.unit} at {word}"
    if reach.proven:
        raise NasctlError(f"no candidate can meet {constraint}: {said}; give a bound beyond that")
    return f"perhaps no candidate can meet {constraint}: {said}, as far as a quick look can tell"


def _known(genomes: Iterable[Genome], value: Callable[[Genome], float]) -> dict[Genome, float]:
    """The values of genomes, failures left out."""
    return {genome: found for genome in genomes if not math.isnan(found := value(genome))}


def _ends(values: dict[Genome, float]) -> tuple[Genome, Genome]:
    """The genomes of the least and the most."""
    return min(values, key=values.__getitem__), max(values, key=values.__getitem__)


def _descended(genome: Genome, cardinalities: Sequence[int], loss: Callable[[Genome], float]) -> Genome:
    """The genome that is reached by setting one gene after another to its best choice, until none can be bettered."""
    best, before = loss(genome), math.inf
    while best < before:
        before = best
        for k, size in enumerate(cardinalities):
            for choice in range(size):
                other = (*genome[:k], choice, *genome[k + 1 :])
                if (found := loss(other)) < best:
                    best, genome = found, other
    return genome

"""NSGA-II, by pymoo.

References:
    Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE Transactions on Evolutionary
    Computation 6 (2002) 182-197.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2 as PymooNSGA2
from pymoo.operators.mutation.pm import PolynomialMutation
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.operators.sampling.rnd import IntegerRandomSampling

from nasctl.api import Genome, Problem
from nasctl.searchers._pymoo import Evolution, genomes

__all__ = ["NSGA2"]


class NSGA2(Evolution):
    """Elitist genetic search on non-domination rank and crowding distance.

    Departures from the paper: choices of a gene need not be ordered, so genes are exchanged at two points and redrawn
    uniformly, each with probability 1 / G, where simulated binary crossover and polynomial mutation would favour
    neighbours; a network that was proposed before is not proposed again.

    `published` is the baseline of Vo & Luong, "Efficient multi-objective neural architecture search via Pareto
    dominance-based novelty search", GECCO 2024, arXiv:2407.20656, github.com/ELO-Lab/PDNS, algorithms/nsga2.py. Two
    things weaken it. Its mutation is polynomial and rounded, and pymoo applies its `prob` of 1 / G to a whole genome
    whose genes then mutate with 1 / G each, so a gene changes with less than 1 / G^2. And its archive is fed with the
    survivors of each generation and not with all that was evaluated: see `survivors`. There, only a genome that is
    spelled as a parent or another child is not proposed again.

    Args:
        problem: Where to search, and for what.
        rng: Source of all randomness.
        population: Genomes kept, and proposed in one ask.
        published: Whether to search exactly as the authors of MTF-PDNS did.
    """

    def __init__(
        self, problem: Problem, rng: np.random.Generator, population: int = 20, published: bool = False
    ) -> None:
        theirs: dict[str, Any] = {
            "sampling": IntegerRandomSampling(),
            "mutation": PolynomialMutation(prob=1 / len(problem.space.genes), eta=1.0, repair=RoundingRepair()),
            "eliminate_duplicates": True,
            "matings": 100,
        }
        super().__init__(problem, rng, population, PymooNSGA2, **(theirs if published else {}))
        self._published = published

    @property
    def survivors(self) -> list[Genome] | None:
        """The current population, canonical, if it alone is to feed the archive; none if all that is evaluated is."""
        if not self._published:
            return None
        return [] if self._algorithm.pop is None else genomes(self._space, self._algorithm.pop)

    def _drawn(self) -> list[Genome]:
        return [] if self._published else super()._drawn()

"""NSGA-II on pymoo's implementation.

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
    """An elitist genetic algorithm that selects by non-domination rank and crowding distance.

    Differences from the paper: the choices of a gene need not be ordered. Genomes are therefore recombined by two-point
    crossover, and each gene is redrawn uniformly with probability 1 / G. Simulated binary crossover and polynomial
    mutation would favour neighbouring choices. A network is never proposed twice.

    `published` reproduces the baseline of Vo & Luong, "Efficient multi-objective neural architecture search via Pareto
    dominance-based novelty search", GECCO 2024, arXiv:2407.20656, github.com/ELO-Lab/PDNS, algorithms/nsga2.py. Two
    properties weaken this baseline. First, its mutation is polynomial and rounded. pymoo applies `prob` = 1 / G to a
    whole genome, whose genes then mutate with probability 1 / G each, so a gene changes with probability below 1 / G^2.
    Second, its archive receives only the survivors of each generation and not all evaluations; see `survivors`. The
    baseline only excludes raw genomes that equal a parent or another child.

    Args:
        problem: Search space, objectives and constraints.
        rng: Source of all randomness.
        population: Population size, which is also the number of genomes per `ask`.
        published: Reproduce the baseline of the authors of MTF-PDNS.
    """

    def __init__(
        self, problem: Problem, rng: np.random.Generator, population: int = 20, published: bool = False
    ) -> None:
        published_settings: dict[str, Any] = {
            "sampling": IntegerRandomSampling(),
            "mutation": PolynomialMutation(prob=1 / len(problem.space.genes), eta=1.0, repair=RoundingRepair()),
            "eliminate_duplicates": True,
            "matings": 100,
        }
        super().__init__(problem, rng, population, PymooNSGA2, **(published_settings if published else {}))
        self._published = published

    @property
    def survivors(self) -> list[Genome] | None:
        """Return the canonical genomes of the population, or None if the archive receives all evaluations."""
        if not self._published:
            return None
        return [] if self._algorithm.pop is None else genomes(self._space, self._algorithm.pop)

    def _random_genomes(self) -> list[Genome]:
        return [] if self._published else super()._random_genomes()

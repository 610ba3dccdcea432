"""NSGA-III, by pymoo.

References:
    Deb & Jain, "An evolutionary many-objective optimization algorithm using reference-point-based nondominated sorting
    approach, part I", IEEE Transactions on Evolutionary Computation 18 (2014) 577-601; constraints: part II, 602-622.
"""

from __future__ import annotations

import warnings

import numpy as np
from pymoo.algorithms.moo.nsga3 import NSGA3 as PymooNSGA3

from nasctl.api import Problem
from nasctl.searchers._pymoo import Evolution, lattice

__all__ = ["NSGA3"]


class NSGA3(Evolution):
    """Elitist genetic search on non-domination rank and, within a rank, an even share for each of many directions.

    The directions are the finest lattice that has no more of them than there are genomes: 20 of 20 for two and four
    objectives, 15 for three. With one objective there is one direction, and what survives are the best.

    Departures from the paper: genes vary as in `nsga2`, and no network is proposed twice.

    Args:
        problem: Where to search, and for what.
        rng: Source of all randomness.
        population: Genomes kept, and proposed in one ask.
    """

    def __init__(self, problem: Problem, rng: np.random.Generator, population: int = 20) -> None:
        directions = lattice(len(problem.objectives), population)
        super().__init__(problem, rng, population, PymooNSGA3, ref_dirs=directions)

    def tell(self, losses: np.ndarray, violations: np.ndarray) -> None:
        with warnings.catch_warnings():  # pymoo turns all warnings off where it scales, and never on again
            super().tell(losses, violations)

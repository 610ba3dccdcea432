"""SMS-EMOA on pymoo's implementation.

References:
    Beume, Naujoks & Emmerich, "SMS-EMOA: multiobjective selection based on dominated hypervolume", European Journal of
    Operational Research 181 (2007) 1653-1669.
"""

from __future__ import annotations

import numpy as np
from pymoo.algorithms.moo.sms import SMSEMOA as PymooSMSEMOA
from pymoo.operators.survival.rank_and_crowding import RankAndCrowding

from nasctl.api import Problem
from nasctl.searchers._pymoo import Evolution

__all__ = ["SMSEMOA"]


class SMSEMOA(Evolution):
    """A genetic algorithm that removes, from the worst rank, the members with the smallest hypervolume contribution.

    With one objective the genomes with the lowest losses survive.

    Differences from the paper: a generation has as many children as parents, so that they can be evaluated together,
    while the paper has one child. The reference point is 11 in losses scaled to the range of the population, while the
    paper uses the worst loss plus 1. Genes vary as in `nsga2`, and a network is never proposed twice.

    Args:
        problem: Search space, objectives and constraints.
        rng: Source of all randomness.
        population: Population size, which is also the number of genomes per `ask`.
    """

    def __init__(self, problem: Problem, rng: np.random.Generator, population: int = 20) -> None:
        single_objective = {"survival": RankAndCrowding()} if len(problem.objectives) == 1 else {}
        super().__init__(problem, rng, population, PymooSMSEMOA, **single_objective)

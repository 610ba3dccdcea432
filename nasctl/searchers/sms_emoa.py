"""SMS-EMOA, by pymoo.

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
    """Genetic search that, of the worst rank, drops what adds the least hypervolume, one after another.

    With one objective there is no volume to share, and what survives are the best.

    Departures from the paper: a generation has as many children as parents where the paper has one child, so that they
    can be evaluated together; the reference point is 11 in losses scaled to the range of the population, where the
    paper's is the worst loss and 1; genes vary as in `nsga2`, and no network is proposed twice.

    Args:
        problem: Where to search, and for what.
        rng: Source of all randomness.
        population: Genomes kept, and proposed in one ask.
    """

    def __init__(self, problem: Problem, rng: np.random.Generator, population: int = 20) -> None:
        alone = {"survival": RankAndCrowding()} if len(problem.objectives) == 1 else {}
        super().__init__(problem, rng, population, PymooSMSEMOA, **alone)

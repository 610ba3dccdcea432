"""NSGA-III on pymoo's implementation.

References:
    Deb & Jain, "An evolutionary many-objective optimization algorithm using reference-point-based nondominated sorting
    approach, part I", IEEE Transactions on Evolutionary Computation 18 (2014) 577-601; constraints: part II, 602-622.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from pymoo.algorithms.moo.nsga3 import NSGA3 as PymooNSGA3
from pymoo.core.population import Population
from pymoo.operators.selection.tournament import TournamentSelection

from nasctl.api import Problem
from nasctl.searchers._pymoo import Evolution, reference_directions, tournament

__all__ = ["NSGA3"]


class NSGA3(Evolution):
    """An elitist genetic algorithm that selects by non-domination rank and evenly over reference directions.

    The directions are the finest lattice with at most `population` points: 20 of 20 for two and four objectives, 15 for
    three. With one objective there is one direction, and the genomes with the lowest losses survive.

    Differences from the paper: genes vary as in `nsga2`, and a network is never proposed twice.

    Args:
        problem: Search space, objectives and constraints.
        rng: Source of all randomness.
        population: Population size, which is also the number of genomes per `ask`.
    """

    def __init__(self, problem: Problem, rng: np.random.Generator, population: int = 20) -> None:
        directions = reference_directions(len(problem.objectives), population)
        selection = TournamentSelection(func_comp=_lower_violation)
        super().__init__(problem, rng, population, PymooNSGA3, ref_dirs=directions, selection=selection)

    def tell(self, losses: np.ndarray, violations: np.ndarray) -> None:
        with warnings.catch_warnings():  # pymoo disables all warnings while it scales losses and never restores them
            super().tell(losses, violations)


def _lower_violation(
    population: Population, pairs: np.ndarray, random_state: np.random.Generator, **kwargs: Any
) -> np.ndarray:
    """Return the member of each pair with the lower constraint violation; see `tournament`.

    pymoo 0.6.2 has the same comparison, but draws from a generator without a seed where violations are equal.
    """
    return tournament([(excess,) for excess in population.get("CV")[:, 0].tolist()], pairs, random_state)

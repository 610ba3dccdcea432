"""MOEA/D on pymoo's operators.

References:
    Zhang & Li, "MOEA/D: a multiobjective evolutionary algorithm based on decomposition", IEEE Transactions on
    Evolutionary Computation 11 (2007) 712-731.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pymoo.algorithms.base.genetic import GeneticAlgorithm
from pymoo.algorithms.moo.moead import NeighborhoodSelection
from pymoo.core.duplicate import NoDuplicateElimination
from pymoo.core.population import Population

from nasctl.api import BadOption, Problem
from nasctl.searchers._pymoo import MATING_ROUNDS, Evolution, reference_directions

__all__ = ["MOEAD"]

MIN_WEIGHT = 1e-6  # smallest weight of an objective, so that every objective counts


class MOEAD(Evolution):
    """A genetic algorithm that decomposes the problem into weighted subproblems and mates neighbouring subproblems.

    Every member of the population has its own weights of the objectives. A child replaces each neighbour with a larger
    weighted Chebyshev distance to the lowest losses seen (section II-B). Each loss is scaled to the range of the
    population, as the paper proposes for objectives of different scales.

    The weights are the finest lattice with at most `population` points: 20 of 20 for two and four objectives, 15 for
    three. With one objective all weights are equal, and neighbours are the adjacent members.

    Differences from the paper: all children of a generation are bred before any of them replaces a member, so that they
    can be evaluated together. A tenth of the parents comes from the whole population, as in pymoo after Li & Zhang
    (IEEE Transactions on Evolutionary Computation 13 (2009) 284-302). Infeasible and failed genomes are worse than
    feasible ones, and a larger violation is worse. Genes vary as in `nsga2`, and a network is never proposed twice.
    pymoo's own class supports no constraints, does not scale losses, and may propose a network twice.

    Args:
        problem: Search space, objectives and constraints.
        rng: Source of all randomness.
        population: Maximum population size, which is also the maximum number of genomes per `ask`.
        neighbors: Number of members that mate and that a child may replace, including the member itself. If the
            population is smaller, all members are neighbours.
    """

    def __init__(self, problem: Problem, rng: np.random.Generator, population: int = 20, neighbors: int = 20) -> None:
        n_objectives = len(problem.objectives)
        weights = reference_directions(n_objectives, population) if n_objectives > 1 else np.ones((population, 1))
        if len(weights) < max(2, n_objectives) or neighbors < 2:
            raise BadOption(
                "neighbors must be at least 2 and population must be at least the number of objectives and 2, "
                f"got population={population},neighbors={neighbors} for {n_objectives} objectives (options of moead)"
            )
        super().__init__(problem, rng, len(weights), _Decomposition, weights=weights, neighbors=neighbors)


class _Decomposition(GeneticAlgorithm):  # type: ignore[misc]  # pymoo has no types
    """A MOEA/D algorithm in the form that pymoo runs.

    Args:
        weights: Weights of the objectives for each place in the population, (N, M).
        neighbors: Number of neighbours, T.
        settings: Arguments of pymoo's genetic algorithm.
    """

    def __init__(self, weights: np.ndarray, neighbors: int, **settings: Any) -> None:
        super().__init__(selection=NeighborhoodSelection(prob=0.9), **settings)
        self.mating.eliminate_duplicates = NoDuplicateElimination()  # `_infill` eliminates duplicates
        at = weights if weights.shape[1] > 1 else np.arange(len(weights))[:, None]
        nearest = [np.linalg.norm(at - place, axis=1).argsort(kind="stable")[:neighbors] for place in at]
        self._near = np.array(nearest)  # (N, T)
        self._weights = np.maximum(weights, MIN_WEIGHT)
        self._best = np.full(weights.shape[1], np.inf)  # lowest feasible losses, (M,)

    def _initialize_advance(self, infills: Population, **kwargs: Any) -> None:
        self.pop = infills[np.arange(len(self._weights)) % len(infills)]  # a tiny space has fewer genomes than weights
        self._update_scaling(infills)

    def _infill(self) -> Population:
        """Return one child for each place where mating finds a new network, in random order of the places."""
        remaining, placed, children = self.random_state.permutation(len(self.pop)), list[int](), Population.create()
        self._places = remaining  # used if there are no children and random genomes replace them
        for _ in range(MATING_ROUNDS):
            parents = self.mating.selection.do(
                self.problem,
                self.pop,
                len(remaining),
                2,
                neighbors=self._near[remaining],
                random_state=self.random_state,
            )
            offspring = self.mating.do(
                self.problem,
                self.pop,
                2 * len(remaining),
                parents=parents,
                n_max_iterations=1,
                random_state=self.random_state,
            )[: len(remaining)]  # one child per pair of parents
            new = self.eliminate_duplicates.fresh(offspring, children)
            children = Population.merge(children, offspring[new])
            placed, remaining = [*placed, *remaining[new]], np.delete(remaining, new)
            if not len(remaining):
                break
        if placed:
            self._places = np.array(placed)
        return children

    def _advance(self, infills: Population, **kwargs: Any) -> None:
        self._update_scaling(infills)
        for place, child in zip(self._places, infills, strict=False):
            near = self._near[place]
            broken = self.pop[near].get("CV")[:, 0]  # (T,)
            wins = child.CV[0] < broken
            if child.CV[0] == 0:
                wins |= self._distance(child.F, near) < self._distance(self.pop[near].get("F"), near)
            self.pop[near[wins]] = child

    def _update_scaling(self, evaluated: Population) -> None:
        """Update the lowest losses seen and the range of the population's losses."""
        losses, feasible = Population.merge(self.pop, evaluated).get("F", "feas")
        if feasible.any():
            self._best = np.minimum(self._best, losses[feasible].min(axis=0))
            span = losses[feasible].max(axis=0) - self._best
            self._span = np.where(span > 0, span, 1.0)

    def _distance(self, losses: np.ndarray, near: np.ndarray) -> np.ndarray:
        """Return weighted Chebyshev distances of losses, (M,) or (T, M), to the lowest losses, for T places, (T,)."""
        return np.asarray((self._weights[near] * (losses - self._best) / self._span).max(axis=1))

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
from nasctl.searchers._pymoo import MATINGS, Evolution, lattice

__all__ = ["MOEAD"]

LEAST = 1e-6  # weight of an objective, so that none is without any


class MOEAD(Evolution):
    """Genetic search that gives every member a weighting of the objectives of its own, and mates neighbours.

    A child replaces each neighbour that it is better than by the weighted Chebyshev distance to the best losses seen
    (section II-B), each loss scaled to the range of the population, as the paper proposes for unlike objectives.

    Weightings are the finest lattice that has no more of them than `population`: 20 of 20 for two and four objectives,
    15 for three. With one objective all weightings are the same, and neighbours are those next in line.

    Departures from the paper: all children of a generation are bred before one replaces anything, so that they can be
    evaluated together; a tenth of the parents comes from the whole population, as pymoo has it after Li & Zhang
    (IEEE Transactions on Evolutionary Computation 13 (2009) 284-302); what breaks a constraint, and what failed, is
    worse than what does not, and the more the worse; genes vary as in `nsga2`, and no network is proposed twice.
    pymoo's own class takes no constraints, scales nothing and may propose a network again.

    Args:
        problem: Where to search, and for what.
        rng: Source of all randomness.
        population: Genomes kept, and proposed in one ask: the most there may be.
        neighbors: Members that mate, and that a child may replace, its own place included; all, if they are fewer.
    """

    def __init__(self, problem: Problem, rng: np.random.Generator, population: int = 20, neighbors: int = 20) -> None:
        n_objectives = len(problem.objectives)
        weights = lattice(n_objectives, population) if n_objectives > 1 else np.ones((population, 1))
        if len(weights) < max(2, n_objectives) or neighbors < 2:
            raise BadOption(
                f"moead needs 2 neighbors and as many genomes as there are objectives, or more, not "
                f"population={population},neighbors={neighbors} for {n_objectives}"
            )
        super().__init__(problem, rng, len(weights), _Decomposition, weights=weights, neighbors=neighbors)


class _Decomposition(GeneticAlgorithm):  # type: ignore[misc]  # pymoo has no types
    """The algorithm as pymoo runs it.

    Args:
        weights: Of the objectives, a row for each place in the population, (N, M).
        neighbors: T.
        settings: Of every genetic algorithm of pymoo.
    """

    def __init__(self, weights: np.ndarray, neighbors: int, **settings: Any) -> None:
        super().__init__(selection=NeighborhoodSelection(prob=0.9), **settings)
        self.mating.eliminate_duplicates = NoDuplicateElimination()  # `_infill` does that
        at = weights if weights.shape[1] > 1 else np.arange(len(weights))[:, None]
        nearest = [np.linalg.norm(at - place, axis=1).argsort(kind="stable")[:neighbors] for place in at]
        self._near = np.array(nearest)  # (N, T)
        self._weights = np.maximum(weights, LEAST)
        self._best = np.full(weights.shape[1], np.inf)  # losses of what is feasible, (M,)

    def _initialize_advance(self, infills: Population, **kwargs: Any) -> None:
        self.pop = infills[np.arange(len(self._weights)) % len(infills)]  # a tiny space has fewer genomes than places
        self._learn(infills)

    def _infill(self) -> Population:
        """A child for each place where mating finds a network that is new, in random order of the places."""
        left, bred, children = self.random_state.permutation(len(self.pop)), list[int](), Population.create()
        self._places = left  # of what takes the children's place if there are none
        for _ in range(MATINGS):
            parents = self.mating.selection.do(
                self.problem, self.pop, len(left), 2, neighbors=self._near[left], random_state=self.random_state
            )
            born = self.mating.do(
                self.problem,
                self.pop,
                2 * len(left),
                parents=parents,
                n_max_iterations=1,
                random_state=self.random_state,
            )[: len(left)]  # one of the two of each pair
            new = self.eliminate_duplicates.fresh(born, children)
            children, bred, left = Population.merge(children, born[new]), [*bred, *left[new]], np.delete(left, new)
            if not len(left):
                break
        if bred:
            self._places = np.array(bred)
        return children

    def _advance(self, infills: Population, **kwargs: Any) -> None:
        self._learn(infills)
        for place, child in zip(self._places, infills, strict=False):
            near = self._near[place]
            broken = self.pop[near].get("CV")[:, 0]  # (T,)
            wins = child.CV[0] < broken
            if child.CV[0] == 0:
                wins |= self._distance(child.F, near) < self._distance(self.pop[near].get("F"), near)
            self.pop[near[wins]] = child

    def _learn(self, told: Population) -> None:
        """The best losses seen, and the range of those of the population."""
        losses, feasible = Population.merge(self.pop, told).get("F", "feas")
        if feasible.any():
            self._best = np.minimum(self._best, losses[feasible].min(axis=0))
            span = losses[feasible].max(axis=0) - self._best
            self._span = np.where(span > 0, span, 1.0)

    def _distance(self, losses: np.ndarray, near: np.ndarray) -> np.ndarray:
        """How far losses, (M,) or (T, M), are from the best by the weightings of T places, (T,)."""
        return np.asarray((self._weights[near] * (losses - self._best) / self._span).max(axis=1))

"""NSGA-II, by pymoo.

References:
    Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE Transactions on Evolutionary
    Computation 6 (2002) 182-197.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2 as PymooNSGA2
from pymoo.core.duplicate import DuplicateElimination
from pymoo.core.mutation import Mutation
from pymoo.core.population import Population
from pymoo.core.problem import Problem as PymooProblem
from pymoo.core.termination import NoTermination
from pymoo.operators.crossover.pntx import TwoPointCrossover

from nasctl.api import BadOption, Genome, Problem, SearchSpace, promising, unseen

__all__ = ["NSGA2"]

MATINGS = 10  # rounds of mating that an offspring may take, after which it is as large as it is


class NSGA2:
    """Elitist genetic search on non-domination rank and crowding distance.

    Departures from the paper: choices of a gene need not be ordered, so genes are exchanged at two points and redrawn
    uniformly, each with probability 1 / G, where simulated binary crossover and polynomial mutation would favour
    neighbours; a network that was proposed before is not proposed again.

    Args:
        problem: Where to search, and for what.
        rng: Source of all randomness.
        population: Genomes kept, and proposed in one ask.
    """

    def __init__(self, problem: Problem, rng: np.random.Generator, population: int = 20) -> None:
        if not 2 <= population <= 10_000:
            raise BadOption(f"nsga2 needs a population of 2 to 10,000, not population={population}")
        self._space, self._rng, self._size = problem.space, rng, population
        self._seen: set[Genome] = set()
        self._algorithm = PymooNSGA2(
            pop_size=population,
            sampling=np.array(promising(problem, rng, population)),
            crossover=TwoPointCrossover(prob=1.0),
            mutation=_Redraw(),
            eliminate_duplicates=_Unseen(problem.space, self._seen),
        )
        upper = np.array([len(gene.choices) - 1 for gene in problem.space.genes])  # (G,)
        n_obj = len(problem.objectives)
        posed = PymooProblem(n_var=len(upper), n_obj=n_obj, n_ieq_constr=1, xl=0, xu=upper, vtype=int)
        self._algorithm.mating.n_max_iterations = MATINGS
        self._algorithm.setup(posed, termination=NoTermination(), seed=int(rng.integers(2**31)), verbose=False)

    def ask(self) -> list[Genome]:
        self._asked = self._algorithm.ask()
        if self._asked is None or not len(self._asked):  # mating found nothing that is new
            drawn = unseen(self._space, self._rng, self._size, self._seen)
            if not drawn:
                return []
            self._asked = Population.new(X=np.array(drawn))
        asked = [self._space.canonical(tuple(x)) for x in self._asked.get("X").astype(int).tolist()]
        self._seen |= set(asked)
        return asked

    def tell(self, losses: np.ndarray, violations: np.ndarray) -> None:
        failed = np.isnan(losses).any(axis=1)
        broken = violations.sum(axis=1) + failed  # (N,); pymoo ranks G > 0 below all that is feasible
        self._asked.set("F", np.where(failed[:, None], 0.0, losses))
        self._asked.set("G", broken[:, None])
        self._asked.apply(lambda individual: individual.evaluated.update({"F", "G"}))
        self._algorithm.tell(infills=self._asked)


class _Redraw(Mutation):  # type: ignore[misc]  # pymoo has no types
    """Sets each gene, with probability 1 / G, to another of its values."""

    def _do(
        self, problem: PymooProblem, X: np.ndarray, *args: Any, random_state: np.random.Generator, **kwargs: Any
    ) -> Any:
        sizes = problem.xu.astype(int) + 1
        step = random_state.integers(1, np.maximum(sizes, 2), size=X.shape)
        redrawn = (random_state.random(X.shape) < 1 / problem.n_var) & (sizes > 1)
        return np.where(redrawn, (X + step) % sizes, X)


class _Unseen(DuplicateElimination):  # type: ignore[misc]
    """Drops what is the same network as something proposed before, or as another of the same offspring."""

    def __init__(self, space: SearchSpace, seen: set[Genome]) -> None:
        super().__init__()
        self._space, self._seen = space, seen

    def do(
        self, pop: Population, *others: Population, return_indices: bool = False, to_itself: bool = True
    ) -> Population:
        taken = {genome for other in others for genome in self._genomes(other)}
        kept = []
        for k, genome in enumerate(self._genomes(pop)):
            if genome not in self._seen and genome not in taken:
                taken.add(genome)
                kept.append(k)
        return pop[kept]

    def _genomes(self, pop: Population) -> list[Genome]:
        return [self._space.canonical(tuple(x)) for x in pop.get("X").astype(int).tolist()] if len(pop) else []

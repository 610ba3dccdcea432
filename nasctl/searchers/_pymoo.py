"""A base class for searchers on pymoo: the ask-and-tell loop, variation of genes, and removal of duplicate networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from pymoo.algorithms.base.genetic import GeneticAlgorithm
from pymoo.core.duplicate import DuplicateElimination
from pymoo.core.mutation import Mutation
from pymoo.core.population import Population
from pymoo.core.problem import Problem as PymooProblem
from pymoo.core.termination import NoTermination
from pymoo.operators.crossover.pntx import TwoPointCrossover
from pymoo.util.reference_direction import das_dennis, get_partition_closest_to_points

from nasctl.api import BadOption, Genome, Problem, SearchSpace, promising, unseen
from nasctl.searchers._mutation import shift_genes

FAILURE_VIOLATION = 1e9  # constraint violation of a genome with a failed objective, above every real violation
MATING_ROUNDS = 10  # rounds of mating per generation, after which a generation may stay smaller than the population


class Evolution:
    """A genetic algorithm of pymoo behind `ask` and `tell`.

    Differences from the papers that all subclasses share: the choices of a gene need not be ordered. Genomes are
    therefore recombined by two-point crossover, and each gene is redrawn uniformly with probability 1 / G. Simulated
    binary crossover and polynomial mutation would favour neighbouring choices. A network is never proposed twice.
    Infeasible and failed genomes rank below all feasible ones.

    Args:
        problem: Search space, objectives and constraints.
        rng: Source of all randomness.
        population: Population size, which is also the number of genomes per `ask`.
        make: Factory of the algorithm, called with `pop_size`, `sampling`, `crossover`, `mutation` and
            `eliminate_duplicates`.
        matings: Maximum rounds of mating per generation.
        settings: Further arguments of the factory, which override the arguments above.
    """

    def __init__(
        self,
        problem: Problem,
        rng: np.random.Generator,
        population: int,
        make: Callable[..., GeneticAlgorithm],
        matings: int = MATING_ROUNDS,
        **settings: Any,
    ) -> None:
        if not 2 <= population <= 10_000:
            name = type(self).__module__.rpartition(".")[2]
            raise BadOption(f"population must be 2 to 10,000, got {population} (option of {name})")
        self._space, self._rng, self._size = problem.space, rng, population
        self._seen: set[Genome] = set()  # canonical genomes that were proposed
        defaults = {
            "sampling": np.array(promising(problem, rng, population)),
            "crossover": TwoPointCrossover(prob=1.0),
            "mutation": UniformMutation(),
            "eliminate_duplicates": UnseenNetworks(problem.space, self._seen),
        }
        self._algorithm = make(pop_size=population, **(defaults | settings))
        upper = np.array([len(gene.choices) - 1 for gene in problem.space.genes])  # (G,)
        n_obj = len(problem.objectives)
        pymoo_problem = PymooProblem(n_var=len(upper), n_obj=n_obj, n_ieq_constr=1, xl=0, xu=upper, vtype=int)
        self._algorithm.mating.n_max_iterations = matings
        self._algorithm.setup(pymoo_problem, termination=NoTermination(), seed=int(rng.integers(2**31)), verbose=False)

    def ask(self) -> list[Genome]:
        self._asked = self._algorithm.ask()
        if self._asked is None or not len(self._asked):  # mating found no new network
            drawn = self._random_genomes()
            if not drawn:
                return []
            self._asked = Population.new(X=np.array(drawn))
        asked = genomes(self._space, self._asked)
        self._seen |= set(asked)
        return asked

    def tell(self, losses: np.ndarray, violations: np.ndarray) -> None:
        unknown = np.isnan(losses).any(axis=1)
        broken = violations.sum(axis=1)  # (N,); pymoo ranks genomes with G > 0 below all feasible genomes
        # An infeasible genome may be unmeasured on purpose, so NaN counts as a failure only for feasible genomes.
        broken = np.where(unknown & (broken == 0), FAILURE_VIOLATION, broken)
        # pymoo scales losses by the range of all rows, so the placeholder of a failed row must not widen the range.
        worst = losses[~unknown].max(axis=0) if not unknown.all() else np.zeros(losses.shape[1])
        self._asked.set("F", np.where(unknown[:, None], worst, losses))
        self._asked.set("G", broken[:, None])
        self._asked.apply(lambda individual: individual.evaluated.update({"F", "G"}))
        self._algorithm.tell(infills=self._asked)

    def _random_genomes(self) -> list[Genome]:
        """Return random unseen genomes to propose when mating finds no new network."""
        return unseen(self._space, self._rng, self._size, self._seen)


class UniformMutation(Mutation):  # type: ignore[misc]  # pymoo has no types
    """A mutation that sets each gene, with probability 1 / G, to another of its choices."""

    def _do(
        self, problem: PymooProblem, X: np.ndarray, *args: Any, random_state: np.random.Generator, **kwargs: Any
    ) -> Any:
        sizes = problem.xu.astype(int) + 1
        # Unlike `redraw_genes`, this draws the steps first: the order of draws fixes the genomes of a seed.
        steps = random_state.integers(1, np.maximum(sizes, 2), size=X.shape)
        redrawn = (random_state.random(X.shape) < 1 / problem.n_var) & (sizes > 1)
        return shift_genes(X, redrawn, steps, sizes)


class UnseenNetworks(DuplicateElimination):  # type: ignore[misc]
    """A filter that drops networks proposed before and duplicates within the offspring."""

    def __init__(self, space: SearchSpace, seen: set[Genome]) -> None:
        super().__init__()
        self._space, self._seen = space, seen

    def do(
        self, pop: Population, *others: Population, return_indices: bool = False, to_itself: bool = True
    ) -> Population:
        return pop[self.fresh(pop, *others)]

    def fresh(self, pop: Population, *others: Population) -> list[int]:
        """Return the positions of the individuals to keep."""
        taken = {genome for other in others for genome in genomes(self._space, other)}
        kept = []
        for k, genome in enumerate(genomes(self._space, pop)):
            if genome not in self._seen and genome not in taken:
                taken.add(genome)
                kept.append(k)
        return kept


def tournament(rows: Sequence[tuple[float, ...]], pairs: np.ndarray, random_state: np.random.Generator) -> np.ndarray:
    """Return the member of each pair with the smaller row, or a random one if their rows are equal.

    The draws are those of pymoo's comparisons, so recorded runs replay. Some of pymoo's comparisons make a generator
    without a seed where they are not given one; these are therefore not used.

    Args:
        rows: Row of each member, compared from its first number on.
        pairs: Positions of the members, (N, 2).
        random_state: Source of all randomness.

    Returns:
        Positions, (N, 1).
    """
    winners = [
        first
        if rows[first] < rows[second]
        else second
        if rows[second] < rows[first]
        else int(random_state.choice([first, second]))
        for first, second in pairs.tolist()
    ]
    return np.array(winners)[:, None]


def genomes(space: SearchSpace, population: Population) -> list[Genome]:
    """Return the canonical genomes of a population, (N,)."""
    if not len(population):
        return []
    return [space.canonical(tuple(x)) for x in population.get("X").astype(int).tolist()]


def reference_directions(n_objectives: int, max_directions: int) -> np.ndarray:
    """Return directions spread evenly over the objectives: the finest simplex lattice with at most so many points.

    References:
        Das & Dennis, "Normal-boundary intersection", SIAM Journal on Optimization 8 (1998) 631-657.

    Args:
        n_objectives: Number of objectives, M.
        max_directions: Maximum number of directions. A lattice has binomial(M + H - 1, H) directions for an integer H.

    Returns:
        Directions, (D, M), whose rows sum to 1; only the centre if `max_directions` is below M, or if M is 1.
    """
    return np.asarray(das_dennis(get_partition_closest_to_points(max_directions, n_objectives), n_objectives))

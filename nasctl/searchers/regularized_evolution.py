"""Regularized evolution: tournament selection in a population whose oldest member dies.

References:
    Real, Aggarwal, Huang & Le, "Regularized evolution for image classifier architecture search", AAAI 2019,
    arXiv:1802.01548, algorithm 1. Population 10 and tournament 3 are the values of Dong et al., "NATS-Bench", TPAMI
    2021, arXiv:2009.00437; the paper uses 100 and 25. For several objectives: Salinas et al., "Syne Tune", AutoML 2022,
    MultiObjectiveRegularizedEvolution.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from pymoo.operators.survival.rank_and_crowding.metrics import calc_crowding_distance
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

from nasctl.api import BadOption, Genome, Problem, promising, unseen
from nasctl.searchers._neighbours import comparison_rows

__all__ = ["RegularizedEvolution"]

RETRIES = 50  # mutations of a child that was proposed before, after which a random genome replaces the child


class RegularizedEvolution:
    """An evolutionary algorithm in which the best of a random sample has a mutated child, and the oldest member dies.

    The child differs from its parent in one gene. With several objectives, the better genome has the lower
    non-domination rank in the whole population and, within a rank, the larger crowding distance, as in NSGA-II. Syne
    Tune uses another order within a rank.

    Differences from the papers: a child that was evaluated before is mutated again, unless `published` is set.
    Infeasible and failed genomes are worse than feasible ones, and a larger violation is worse.

    Args:
        problem: Search space, objectives and constraints.
        rng: Source of all randomness.
        population: Population size. The first `ask` proposes this many genomes, and every later `ask` proposes one.
        tournament: Sample size of a tournament, drawn with replacement.
        published: Allow a network to be proposed again.
    """

    def __init__(
        self,
        problem: Problem,
        rng: np.random.Generator,
        population: int = 10,
        tournament: int = 3,
        published: bool = False,
    ) -> None:
        if not 2 <= population <= 10_000 or not 1 <= tournament <= population:
            raise BadOption(
                "population must be 2 to 10,000 and tournament must be 1 to population, "
                f"got population={population},tournament={tournament} (options of regularized_evolution)"
            )
        self._problem, self._space, self._rng = problem, problem.space, rng
        self._cardinalities = np.array([len(gene.choices) for gene in problem.space.genes])  # (G,)
        self._tournament, self._published = tournament, published
        self._living: deque[tuple[Genome, np.ndarray]] = deque(maxlen=population)  # raw genomes, `comparison_rows`
        self._seen: set[Genome] = set()  # canonical genomes that were proposed

    def ask(self) -> list[Genome]:
        size = self._living.maxlen or 0
        if self._living:
            self._children = self._breed_child()
        elif self._published:
            self._children = [
                tuple(g)
                for g in self._rng.integers(self._cardinalities, size=(size, len(self._cardinalities))).tolist()
            ]
        else:
            self._children = promising(self._problem, self._rng, size)
        asked = [self._space.canonical(child) for child in self._children]
        self._seen |= set(asked)
        return asked

    def tell(self, losses: np.ndarray, violations: np.ndarray) -> None:
        # The queue drops its oldest genomes.
        self._living.extend(zip(self._children, comparison_rows(losses, violations), strict=True))
        self._ranks = ranks(np.array([row for _, row in self._living]))

    def _breed_child(self) -> list[Genome]:
        """Return a mutated tournament winner, or a random genome if no mutation is new.

        The list is empty if the space is exhausted, or has one genome.
        """
        if not (self._cardinalities > 1).any():
            return []
        sample = self._rng.integers(len(self._living), size=self._tournament)
        child, _ = self._living[sample[self._ranks[sample].argmin()]]
        for _ in range(RETRIES):
            child = self._mutate(child)
            if self._published or self._space.canonical(child) not in self._seen:
                return [child]
        return unseen(self._space, self._rng, 1, self._seen)

    def _mutate(self, genome: Genome) -> Genome:
        """Return the genome with another choice for one of the genes that have several."""
        k = int(self._rng.choice(np.flatnonzero(self._cardinalities > 1)))
        choice = (genome[k] + self._rng.integers(1, self._cardinalities[k])) % self._cardinalities[k]
        return (*genome[:k], int(choice), *genome[k + 1 :])


def ranks(rows: np.ndarray) -> np.ndarray:
    """Return the rank of each genome by violation, then non-domination rank, then crowding distance; 0 is the best.

    Args:
        rows: Rows of `comparison_rows` for a population, (N, 1 + M).

    Returns:
        Ranks, (N,), equal for genomes that tie.
    """
    ranked = rows  # with one objective, its losses already give the ranking
    if rows.shape[1] > 2:
        losses, feasible = rows[:, 1:], np.flatnonzero(rows[:, 0] == 0)
        ranked = np.column_stack([rows[:, 0], np.zeros((len(rows), 2))])
        for rank, front in enumerate(NonDominatedSorting().do(losses[feasible]) if len(feasible) else []):
            ranked[feasible[front], 1] = rank
            ranked[feasible[front], 2] = -calc_crowding_distance(losses[feasible[front]])
    return np.unique(ranked, axis=0, return_inverse=True)[1].reshape(-1)

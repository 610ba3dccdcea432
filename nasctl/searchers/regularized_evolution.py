"""Regularized evolution: tournaments in a population that loses its oldest.

References:
    Real, Aggarwal, Huang & Le, "Regularized evolution for image classifier architecture search", AAAI 2019,
    arXiv:1802.01548, algorithm 1. Population 10 and tournament 3 are those of Dong et al., "NATS-Bench", TPAMI 2021,
    arXiv:2009.00437; the paper has 100 and 25. For several objectives: Salinas et al., "Syne Tune", AutoML 2022,
    MultiObjectiveRegularizedEvolution.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from pymoo.operators.survival.rank_and_crowding.metrics import calc_crowding_distance
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

from nasctl.api import BadOption, Genome, Problem, promising, unseen
from nasctl.searchers._neighbours import judged

__all__ = ["RegularizedEvolution"]

RETRIES = 50  # mutations of a child that was evaluated before, after which a random genome takes its place


class RegularizedEvolution:
    """Each time, the best of a random sample of the population has a child that differs in one gene; the oldest dies.

    With several objectives the better is what has the lower non-domination rank in the whole population, and among
    equals the larger crowding distance, as in NSGA-II; Syne Tune has the same with another order within a rank.

    Departures: a child that was evaluated before is mutated again, which `published` undoes; what breaks a constraint,
    and what failed, loses to what does not, and to what does so less.

    Args:
        problem: Where to search, and for what.
        rng: Source of all randomness.
        population: Genomes that live; they are proposed in the first ask, and one in each that follows.
        tournament: Genomes in a sample, drawn with replacement.
        published: Whether a network may be proposed again.
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
                f"regularized_evolution needs a population of 2 to 10,000 and tournaments that are no larger, "
                f"not population={population},tournament={tournament}"
            )
        self._problem, self._space, self._rng = problem, problem.space, rng
        self._sizes = np.array([len(gene.choices) for gene in problem.space.genes])  # (G,)
        self._tournament, self._published = tournament, published
        self._living: deque[tuple[Genome, np.ndarray]] = deque(maxlen=population)  # as bred, and as `judged`
        self._seen: set[Genome] = set()  # canonical genomes that were asked for

    def ask(self) -> list[Genome]:
        size = self._living.maxlen or 0
        if self._living:
            self._children = self._child()
        elif self._published:
            self._children = [tuple(g) for g in self._rng.integers(self._sizes, size=(size, len(self._sizes))).tolist()]
        else:
            self._children = promising(self._problem, self._rng, size)
        asked = [self._space.canonical(child) for child in self._children]
        self._seen |= set(asked)
        return asked

    def tell(self, losses: np.ndarray, violations: np.ndarray) -> None:
        self._living.extend(zip(self._children, judged(losses, violations), strict=True))  # which drops the oldest
        self._places = places(np.array([row for _, row in self._living]))

    def _child(self) -> list[Genome]:
        """A mutated winner, or where that comes to nothing new a random genome, or none."""
        sample = self._rng.integers(len(self._living), size=self._tournament)
        child, _ = self._living[sample[self._places[sample].argmin()]]
        for _ in range(RETRIES):
            child = self._mutated(child)
            if self._published or self._space.canonical(child) not in self._seen:
                return [child]
        return unseen(self._space, self._rng, 1, self._seen)

    def _mutated(self, genome: Genome) -> Genome:
        """Another value for one of the genes that have a choice."""
        k = int(self._rng.choice(np.flatnonzero(self._sizes > 1)))
        choice = (genome[k] + self._rng.integers(1, self._sizes[k])) % self._sizes[k]
        return (*genome[:k], int(choice), *genome[k + 1 :])


def places(rows: np.ndarray) -> np.ndarray:
    """The place of each in a ranking by violation, then non-domination rank, then crowding distance; 0 is the best.

    Args:
        rows: Of a population, as `judged` has them, (N, 1 + M).

    Returns:
        (N,), with equal places for those that nothing tells apart.
    """
    ranked = rows  # one loss is a rank itself
    if rows.shape[1] > 2:
        losses, feasible = rows[:, 1:], np.flatnonzero(rows[:, 0] == 0)
        ranked = np.column_stack([rows[:, 0], np.zeros((len(rows), 2))])
        for rank, front in enumerate(NonDominatedSorting().do(losses[feasible]) if len(feasible) else []):
            ranked[feasible[front], 1] = rank
            ranked[feasible[front], 2] = -calc_crowding_distance(losses[feasible[front]])
    return np.unique(ranked, axis=0, return_inverse=True)[1].reshape(-1)

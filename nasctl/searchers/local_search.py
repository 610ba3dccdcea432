"""Local search: evaluation of whole neighbourhoods, with a Pareto front as the current solution for several objectives.

References:
    White, Nolen & Savani, "Exploring the loss landscape in neural architecture search", UAI 2021, arXiv:2005.02960;
    github.com/automl/NASLib, naslib/optimizers/discrete/ls.
    Paquete, Chiarandini & Stuetzle, "Pareto local optimum sets in the biobjective traveling salesman problem: an
    experimental study", Metaheuristics for Multiobjective Optimisation, LNEMS 535, Springer 2004, 177-199.
"""

from __future__ import annotations

import numpy as np

from nasctl.api import Genome, Problem, promising
from nasctl.searchers._neighbours import comparison_rows, neighbors, weakly_dominates

__all__ = ["LocalSearch"]


class LocalSearch:
    """Pareto local search from random genomes.

    A climb keeps the genomes that no other genome of the climb weakly dominates. It takes a random kept genome whose
    neighbourhood is unexplored, and evaluates all neighbours that differ in one gene. When all neighbourhoods are
    explored, the climb has reached a local optimum, and the next climb starts at a random genome. With one objective, a
    climb keeps one genome and moves to the best neighbour while that is an improvement, as in White et al.

    Differences from the papers: networks that were evaluated before, in any climb, are looked up. Neighbours come in
    random order. Among infeasible genomes, the smaller total violation is better. Failed genomes are worst.

    Args:
        problem: Search space, objectives and constraints.
        rng: Source of all randomness.
    """

    def __init__(self, problem: Problem, rng: np.random.Generator) -> None:
        self._problem, self._space, self._rng = problem, problem.space, rng
        self._known: dict[Genome, np.ndarray] = {}  # canonical genome -> its row of `comparison_rows`
        self._climb: dict[Genome, tuple[Genome, bool]] = {}  # canonical genome -> raw genome, and True if explored
        self._near: list[Genome] = []  # neighbourhood that is being evaluated, not canonical

    def ask(self) -> list[Genome]:
        while True:
            self._asked = [g for g in dict.fromkeys(map(self._space.canonical, self._near)) if g not in self._known]
            if self._asked:
                return self._asked
            for raw in self._near:
                self._add_to_climb(raw)
            unexplored = [genome for genome, (_, explored) in self._climb.items() if not explored]
            if unexplored:
                genome = unexplored[int(self._rng.integers(len(unexplored)))]
                raw, _ = self._climb[genome]
                self._climb[genome] = raw, True
                self._near = neighbors(self._space, self._rng, raw)
            else:
                self._climb = {}
                self._near = promising(self._problem, self._rng, 1, self._known)
                if not self._near:
                    return []

    def tell(self, losses: np.ndarray, violations: np.ndarray) -> None:
        self._known |= zip(self._asked, comparison_rows(losses, violations), strict=True)

    def _add_to_climb(self, raw: Genome) -> None:
        """Add a genome to the climb unless a kept genome weakly dominates it.

        Kept genomes that the new genome weakly dominates are dropped.
        """
        genome = self._space.canonical(raw)
        row = self._known[genome]  # (1 + M,)
        rows = np.array([self._known[other] for other in self._climb]).reshape(-1, len(row))  # (A, 1 + M)
        if weakly_dominates(rows, row).any():
            return
        worse = weakly_dominates(row, rows)
        self._climb = {
            other: entry for (other, entry), is_worse in zip(self._climb.items(), worse, strict=True) if not is_worse
        }
        self._climb[genome] = raw, False

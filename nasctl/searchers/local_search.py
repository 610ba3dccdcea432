"""Local search: the whole neighbourhood of what is best, then on from there; with several objectives, of a front.

References:
    White, Nolen & Savani, "Exploring the loss landscape in neural architecture search", UAI 2021, arXiv:2005.02960;
    github.com/automl/NASLib, naslib/optimizers/discrete/ls. Paquete, Chiarandini & Stuetzle, "Pareto local optimum sets
    in the biobjective traveling salesman problem: an experimental study", Metaheuristics for Multiobjective
    Optimisation, LNEMS 535, Springer 2004, 177-199.
"""

from __future__ import annotations

import numpy as np

from nasctl.api import Genome, Problem, promising
from nasctl.searchers._neighbours import covers, judged, neighbors

__all__ = ["LocalSearch"]


class LocalSearch:
    """Pareto local search from random genomes: all that differs in one gene is evaluated, then moved to if it is good.

    A climb keeps the genomes that none of those it met weakly dominates, takes one of them at random whose
    neighbourhood it does not know, and evaluates all of that. When it knows all neighbourhoods it is at a local
    optimum, and another climb begins at a random genome. With one objective a climb keeps one genome, so it moves to
    the best neighbour while that is better, as White et al. have it.

    Departures: a network that was evaluated before, in this climb or another, is looked up; neighbours come in random
    order; what breaks a constraint or failed gives way to what does so less.

    Args:
        problem: Where to search, and for what.
        rng: Source of all randomness.
    """

    def __init__(self, problem: Problem, rng: np.random.Generator) -> None:
        self._problem, self._space, self._rng = problem, problem.space, rng
        self._known: dict[Genome, np.ndarray] = {}  # what was told of canonical genomes, as `judged` has it
        self._climb: dict[Genome, tuple[Genome, bool]] = {}  # canonical -> as it was bred, and whether it is explored
        self._near: list[Genome] = []  # the neighbourhood that is looked at, not canonical

    def ask(self) -> list[Genome]:
        while True:
            self._asked = [g for g in dict.fromkeys(map(self._space.canonical, self._near)) if g not in self._known]
            if self._asked:
                return self._asked
            for raw in self._near:
                self._meet(raw)
            open_ends = [genome for genome, (_, explored) in self._climb.items() if not explored]
            if open_ends:
                genome = open_ends[int(self._rng.integers(len(open_ends)))]
                raw, _ = self._climb[genome]
                self._climb[genome] = raw, True
                self._near = neighbors(self._space, self._rng, raw)
            else:
                self._climb = {}
                self._near = promising(self._problem, self._rng, 1, self._known)
                if not self._near:
                    return []

    def tell(self, losses: np.ndarray, violations: np.ndarray) -> None:
        self._known |= zip(self._asked, judged(losses, violations), strict=True)

    def _meet(self, raw: Genome) -> None:
        """Take a genome into the climb unless what it has is as good, and drop what is worse."""
        genome = self._space.canonical(raw)
        row = self._known[genome]  # (1 + M,)
        rows = np.array([self._known[other] for other in self._climb]).reshape(-1, len(row))  # (A, 1 + M)
        if covers(rows, row).any():
            return
        worse = covers(row, rows)
        self._climb = {other: ends for (other, ends), out in zip(self._climb.items(), worse, strict=True) if not out}
        self._climb[genome] = raw, False

"""Pruning of a supernet: choices are removed one by one, in order of their importance for the objectives.

References:
    Chen, Gong and Wang, "Neural architecture search on ImageNet in four GPU hours: A theoretically inspired
    perspective" (TE-NAS), ICLR 2021, arXiv:2102.11535, algorithm 1; `prune_tenas.py` of github.com/VITA-Group/TENAS.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Any

import numpy as np

from nasctl.api import BadOption, Genome, MixableSpace, MixtureProblem, Problem

__all__ = ["Prune"]

MAX_TRIES = 50  # candidates checked against the constraints per genome of a batch


class Prune:
    """A searcher that prunes a supernet until one choice per gene is left.

    Each round removes every choice once, on trial, and measures the objectives of the supernet without it. For each
    objective the removals are ranked, with the lowest loss first, and the ranks are summed over objectives. Each gene
    then loses the choice with the smallest sum. A choice that does not change the supernet, such as "none", is removed
    at the start. A removal that makes an objective fail ranks last.

    The first proposal is the cell that remains. The next proposals restore removed choices, the latest removed first,
    so the search continues as long as the budget does. Among these, genomes that satisfy the constraints on costs come
    first.

    With the objectives ntk_cond and linear_regions, and `repeats=3` in the fidelity, the algorithm is TE-NAS.
    Differences from TE-NAS: ranks use all digits of a value, while the authors round to three. Repeats draw new
    weights, while the authors' repeats do not. Both metrics are measured on one supernet.

    The supernets are measured before the first proposal. These measurements use no budget, and a resumed run repeats
    them.

    Args:
        problem: Search space, objectives and constraints.
        rng: Unused, because the measurements have their own seed.
        batch: Number of genomes per `ask`.
    """

    needs = frozenset({"supernet"})

    def __init__(self, problem: Problem, rng: np.random.Generator, batch: int = 20) -> None:
        if not 1 <= batch <= 10_000:
            raise BadOption(f"batch must be 1 to 10,000, got {batch} (option of prune)")
        if not isinstance(problem.space, MixableSpace):
            raise BadOption("prune needs a space with a supernet, such as nb201; use another searcher for this space")
        if not isinstance(problem, MixtureProblem):
            raise BadOption("prune measures supernets, and a benchmark table holds none; use nasctl search instead")
        self._problem, self._batch = problem, batch
        self._removed: list[tuple[int, int]] = []  # gene and choice, in order
        self._proposals: Iterator[Genome] | None = None
        self._waiting: list[tuple[float, int, Genome]] = []  # infeasible genomes: violation, counter, genome
        self._n_deferred = 0

    @property
    def removals(self) -> list[tuple[str, object]]:
        """Return the name of the gene and the choice of each removal, in order."""
        genes = self._problem.space.genes
        return [(genes[gene].name, genes[gene].choices[choice]) for gene, choice in self._removed]

    def ask(self) -> list[Genome]:
        if self._proposals is None:
            self._proposals = self._by_recency(self._prune_supernet())
        batch: list[Genome] = []
        for _ in range(MAX_TRIES * self._batch):
            if len(batch) == self._batch or (genome := next(self._proposals, None)) is None:
                break
            (excess,) = self._problem.violation([genome])
            if excess == 0:
                batch.append(genome)
            else:
                heapq.heappush(self._waiting, (float(excess), self._n_deferred, genome))
                self._n_deferred += 1
        while self._waiting and len(batch) < self._batch:
            batch.append(heapq.heappop(self._waiting)[2])
        return batch

    def tell(self, losses: np.ndarray, violations: np.ndarray) -> None:
        pass

    def _prune_supernet(self) -> list[list[int]]:
        """Return the choices of each gene, (G,): the one that remained, then the removed ones, the latest first."""
        allowed = self._initial_choices()
        removed = [[c for c in range(len(gene.choices)) if c not in kept] for gene, kept in self._by_gene(allowed)]
        while any(len(choices) > 1 for choices in allowed):
            for gene, choice in self._least_important(allowed):
                allowed[gene].remove(choice)
                removed[gene].insert(0, choice)
                self._removed.append((gene, choice))
        return [kept + gone for kept, gone in zip(allowed, removed, strict=True)]

    def _by_gene(self, allowed: list[list[int]]) -> Iterator[tuple[Any, list[int]]]:
        """Yield each gene with its list of choices."""
        return zip(self._problem.space.genes, allowed, strict=True)

    def _initial_choices(self) -> list[list[int]]:
        """Return the choices of each gene whose removal changes the supernet, or one choice if there are none."""
        space: Any = self._problem.space
        all_choices = [list(range(len(gene.choices))) for gene in space.genes]
        whole = space.supernet(all_choices)
        kept = []
        for gene, choices in enumerate(all_choices):
            added = [c for c in choices if len(choices) > 1 and space.supernet(_without(all_choices, gene, c)) != whole]
            kept.append(added or choices[:1])
        return kept

    def _least_important(self, allowed: list[list[int]]) -> list[tuple[int, int]]:
        """Return the least important choice of each gene that has several."""
        evaluate: Any = self._problem.evaluate_mixture
        places = [(g, c) for g, choices in enumerate(allowed) if len(choices) > 1 for c in choices]
        losses = np.array([evaluate(_without(allowed, gene, choice)) for gene, choice in places])  # (places, M)
        filled = np.where(np.isnan(losses).any(axis=1, keepdims=True), np.inf, losses)
        ranks = [np.unique(column, return_inverse=True)[1] for column in filled.T]
        sums = dict(zip(places, np.sum(ranks, axis=0).tolist(), strict=True))
        genes = dict.fromkeys(gene for gene, _ in places)
        return [min((place for place in places if place[0] == gene), key=lambda place: sums[place]) for gene in genes]

    def _by_recency(self, order: list[list[int]]) -> Iterator[Genome]:
        """Yield canonical genomes in ascending order of the summed positions of their choices in `order`.

        Args:
            order: Choices of each gene, the best first, (G,).
        """
        first = (0,) * len(order)
        heap, listed, proposed = [(0, first)], {first}, set()
        while heap:
            total, places = heapq.heappop(heap)
            genome = self._problem.space.canonical(tuple(row[k] for row, k in zip(order, places, strict=True)))
            if genome not in proposed:
                proposed.add(genome)
                yield genome
            for gene, place in enumerate(places):
                later = (*places[:gene], place + 1, *places[gene + 1 :])
                if place + 1 < len(order[gene]) and later not in listed:
                    listed.add(later)
                    heapq.heappush(heap, (total + 1, later))


def _without(allowed: list[list[int]], gene: int, choice: int) -> list[list[int]]:
    """Return the choices of all genes without one choice of one gene."""
    return [[c for c in choices if (g, c) != (gene, choice)] for g, choices in enumerate(allowed)]

"""Pruning: of a supernet that holds all choices, those go first that the metrics miss least.

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

PATIENCE = 50  # candidates that are looked at for each one that holds the constraints


class Prune:
    """Takes choices out of a supernet one by one, judged by all objectives, until one is left at every gene.

    In each round every choice is left out once. The objectives rank what that does, those choices first without which
    the losses are lowest, and the ranks are summed; then each gene loses the choice with the smallest sum. What the
    supernet is the same without, such as "none", is out from the beginning. What fails when a choice is left out ranks
    last. The first proposal is the cell that remains; then come those that bring back what was removed late, the latest
    first, so the search goes on as long as the budget does. Of these, those come first that hold the constraints on
    costs.

    With the objectives ntk_cond and linear_regions, and `repeats=3` in the fidelity, it is TE-NAS. Departures: ranks
    compare all digits of a value, where the authors round to three; repeats draw new weights, which theirs do not; both
    metrics are measured on one supernet.

    The supernets are measured before the first proposal, count in no budget, and are measured again when a run resumes.

    Args:
        problem: Where to search, and for what.
        rng: Not used: the measurements have a seed of their own.
        batch: Genomes in one ask.
    """

    needs = frozenset({"supernet"})

    def __init__(self, problem: Problem, rng: np.random.Generator, batch: int = 20) -> None:
        if not 1 <= batch <= 10_000:
            raise BadOption(f"prune needs a batch of 1 to 10,000, not batch={batch}")
        if not isinstance(problem.space, MixableSpace):
            raise BadOption("prune needs a space with a supernet, such as nb201; take another searcher here")
        if not isinstance(problem, MixtureProblem):
            raise BadOption("prune has to measure supernets, and a table holds none; search with nasctl search")
        self._problem, self._batch = problem, batch
        self._removed: list[tuple[int, int]] = []  # gene and choice, in order
        self._ranked: Iterator[Genome] | None = None
        self._waiting: list[tuple[float, int, Genome]] = []  # what breaks constraints: by how much, number, genome
        self._looked = 0

    @property
    def removals(self) -> list[tuple[str, object]]:
        """What was removed, the first first: the name of the gene, and the choice."""
        genes = self._problem.space.genes
        return [(genes[gene].name, genes[gene].choices[choice]) for gene, choice in self._removed]

    def ask(self) -> list[Genome]:
        if self._ranked is None:
            self._ranked = self._by_recency(self._pruned())
        batch: list[Genome] = []
        for _ in range(PATIENCE * self._batch):
            if len(batch) == self._batch or (genome := next(self._ranked, None)) is None:
                break
            (excess,) = self._problem.violation([genome])
            if excess == 0:
                batch.append(genome)
            else:
                heapq.heappush(self._waiting, (float(excess), self._looked, genome))
                self._looked += 1
        while self._waiting and len(batch) < self._batch:
            batch.append(heapq.heappop(self._waiting)[2])
        return batch

    def tell(self, losses: np.ndarray, violations: np.ndarray) -> None:
        pass

    def _pruned(self) -> list[list[int]]:
        """Choices of each gene, the one that remained first, then what was removed, the latest first, (G,)."""
        allowed = self._beginning()
        removed = [[c for c in range(len(gene.choices)) if c not in kept] for gene, kept in self._genes(allowed)]
        while any(len(choices) > 1 for choices in allowed):
            for gene, choice in self._least_missed(allowed):
                allowed[gene].remove(choice)
                removed[gene].insert(0, choice)
                self._removed.append((gene, choice))
        return [kept + gone for kept, gone in zip(allowed, removed, strict=True)]

    def _genes(self, allowed: list[list[int]]) -> Iterator[tuple[Any, list[int]]]:
        return zip(self._problem.space.genes, allowed, strict=True)

    def _beginning(self) -> list[list[int]]:
        """All choices of each gene that the supernet is not the same without; one at the least."""
        space: Any = self._problem.space
        everything = [list(range(len(gene.choices))) for gene in space.genes]
        whole = space.supernet(everything)
        kept = []
        for gene, choices in enumerate(everything):
            added = [c for c in choices if len(choices) > 1 and space.supernet(_without(everything, gene, c)) != whole]
            kept.append(added or choices[:1])
        return kept

    def _least_missed(self, allowed: list[list[int]]) -> list[tuple[int, int]]:
        """The choice that each gene can best do without, where it has several."""
        worth: Any = self._problem.evaluate_mixture
        places = [(g, c) for g, choices in enumerate(allowed) if len(choices) > 1 for c in choices]
        losses = np.array([worth(_without(allowed, gene, choice)) for gene, choice in places])  # (places, M)
        filled = np.where(np.isnan(losses).any(axis=1, keepdims=True), np.inf, losses)
        ranks = [np.unique(column, return_inverse=True)[1] for column in filled.T]
        sums = dict(zip(places, np.sum(ranks, axis=0).tolist(), strict=True))
        genes = dict.fromkeys(gene for gene, _ in places)
        return [min((place for place in places if place[0] == gene), key=lambda place: sums[place]) for gene in genes]

    def _by_recency(self, order: list[list[int]]) -> Iterator[Genome]:
        """Canonical genomes, those first whose choices were removed last: by the sum over genes of places in `order`.

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
    """The choices of all genes but this one."""
    return [[c for c in choices if (g, c) != (gene, choice)] for g, choices in enumerate(allowed)]

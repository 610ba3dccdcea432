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

from nasctl.api import BadOption, Genome, MixableSpace, MixtureProblem, Problem, effective_choices, remove_choices

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

    The objective loss@NAME measures supernets with the weights of a trained one.

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
        space: Any = self._problem.space
        evaluate: Any = self._problem.evaluate_mixture
        counts = [len(gene.choices) for gene in space.genes]
        allowed = effective_choices(space, counts)
        removed = [[c for c in range(count) if c not in kept] for count, kept in zip(counts, allowed, strict=True)]
        tried: list[np.ndarray] = []

        def measured(left: list[list[int]]) -> np.ndarray:
            tried.append(evaluate(left))
            return tried[-1]

        for removals in remove_choices(allowed, measured):
            if not self._removed:
                self._check(tried)
            for gene, choice in removals:
                removed[gene].insert(0, choice)
                self._removed.append((gene, choice))
        return [[c for c in kept if c not in gone] + gone for kept, gone in zip(allowed, removed, strict=True)]

    def _check(self, tried: list[np.ndarray]) -> None:
        """Raise a `BadOption` if an objective has failed for each supernet of the first round."""
        failed = np.isnan(np.array(tried)).all(axis=0)
        if names := [goal.name for goal, fails in zip(self._problem.objectives, failed, strict=True) if fails]:
            raise BadOption(
                f"Cannot prune by {', '.join(names)}: each of the {len(tried)} supernets without one choice failed in"
                " it. Give other objectives with -o, or another searcher"
            )

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

"""The search that nasctl recommends: children of the archive, weighed by a model before they are evaluated.

References:
    What it is put together from: the archive of all that was evaluated from Vo & Luong, "Efficient multi-objective
    neural architecture search via Pareto dominance-based novelty search", GECCO 2024, arXiv:2407.20656; models that
    choose what is evaluated next from Cummings et al., "A hardware-aware framework for accelerating neural
    architecture search across modalities" (LINAS), 2022, arXiv:2205.10358. To breed from the whole archive, and to take
    what the model takes for non-dominated in random order, is this project's own.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from nasctl.api import Archive, BadOption, Genome, Problem, promising, unseen

__all__ = ["Guided"]

POOL = 20  # children for each one that is evaluated
RANDOM = 20  # of as many evaluations one is drawn at random, so that the model sees what it does not expect
WIDEST = 1500  # features, above which genes count one by one and pairs of them are left out
PENALTY = 1e-2  # of the ridge, on squares of its weights


class Guided:
    """Breeds from the non-dominated set, and evaluates children that a model takes for non-dominated.

    Each round makes `POOL` times as many children as it evaluates: two-point crossover of two members of the archive,
    then every gene redrawn with probability 1 / G, networks that were evaluated before left out. Objectives that need
    no module are known of all of them. The others are predicted by ridge regression (penalty `PENALTY`) on the choice
    of each gene and, in small spaces, of each pair of genes, fitted to everything evaluated so far. Children that
    neither the archive nor another child dominates come first, in random order; then those that only another child
    dominates; then those that are nearest to the front. What breaks a constraint on what needs no module comes last.

    Args:
        problem: Where to search, and for what.
        rng: Source of all randomness.
        population: Genomes in one ask.
    """

    def __init__(self, problem: Problem, rng: np.random.Generator, population: int = 20) -> None:
        if not 2 <= population <= 10_000:
            raise BadOption(f"guided needs a population of 2 to 10,000, not population={population}")
        self._problem, self._space, self._rng, self._size = problem, problem.space, rng, population
        self._cardinalities = np.array([len(gene.choices) for gene in problem.space.genes])  # (G,)
        self._archive = Archive(len(problem.objectives))
        self._raw: dict[Genome, tuple[int, ...]] = {}  # what was asked for: by canonical genome, as it was bred
        self._asked: list[Genome] = []
        sizes, pairs = self._cardinalities, combinations(range(len(self._cardinalities)), 2)
        paired = [(i, j) for i, j in pairs if min(sizes[i], sizes[j]) > 1]
        self._pairs = paired if sum(sizes[i] * sizes[j] for i, j in paired) <= WIDEST else []
        width = self._features(np.zeros((1, len(sizes)), dtype=int)).shape[1]
        self._gram = PENALTY * np.eye(width)  # of the features of all that was evaluated, (F, F)
        self._moments = np.zeros((width, len(problem.objectives)))  # of features and losses, (F, M)

    def ask(self) -> list[Genome]:
        fresh = self._chosen(self._children()) if self._archive.genomes else {}
        if missing := self._size - len(fresh):
            taken = self._raw.keys() | fresh.keys()
            drawn = (
                unseen(self._space, self._rng, missing, taken)
                if fresh
                else promising(self._problem, self._rng, missing, taken)
            )
            fresh |= {self._space.canonical(raw): raw for raw in drawn}
        self._raw |= fresh
        self._asked = list(fresh)
        return self._asked

    def tell(self, losses: np.ndarray, violations: np.ndarray) -> None:
        whole = ~np.isnan(losses).any(axis=1)
        for genome, row, good in zip(self._asked, losses, whole & (violations.sum(axis=1) == 0), strict=True):
            if good:
                self._archive.add(genome, row)
        features = self._features(np.array([self._raw[genome] for genome in self._asked]))[whole]
        self._gram += features.T @ features
        self._moments += features.T @ losses[whole]

    def _children(self) -> dict[Genome, tuple[int, ...]]:
        """New genomes bred from the archive, as they were bred, by canonical genome."""
        members = np.array([self._raw[genome] for genome in self._archive.genomes])  # (A, G)
        number, genes = POOL * self._size, members.shape[1]
        one, other = members[self._rng.integers(len(members), size=(2, number))]
        low, high = np.sort(self._rng.integers(genes + 1, size=(2, number, 1)), axis=0)
        places = np.arange(genes)
        crossed = np.where((places >= low) & (places < high), other, one)
        redrawn = (self._rng.random(crossed.shape) < 1 / genes) & (self._cardinalities > 1)
        step = self._rng.integers(1, np.maximum(self._cardinalities, 2), size=crossed.shape)
        found: dict[Genome, tuple[int, ...]] = {}
        for raw in map(tuple, np.where(redrawn, (crossed + step) % self._cardinalities, crossed).tolist()):
            if (genome := self._space.canonical(raw)) not in self._raw:
                found.setdefault(genome, raw)
        return found

    def _chosen(self, children: dict[Genome, tuple[int, ...]]) -> dict[Genome, tuple[int, ...]]:
        """Those that are to be evaluated; the rest of a batch is drawn at random."""
        if not children:
            return {}
        genomes = list(children)
        predicted = self._predicted(genomes, np.array(list(children.values())))
        order = self._rng.permutation(len(genomes))  # breaks ties
        broken = self._problem.excess(genomes)[order]
        ranked = order[np.lexsort((*_merit(predicted[order], self._archive.losses), broken))]
        return {genomes[k]: children[genomes[k]] for k in ranked[: self._size - max(1, self._size // RANDOM)]}

    def _predicted(self, genomes: list[Genome], raw: np.ndarray) -> np.ndarray:
        """Losses, (N, M), of which some are exact."""
        known = self._problem.screen(genomes)
        if not np.isnan(known).any():
            return known
        weights = np.linalg.solve(self._gram, self._moments)  # (F, M)
        return np.where(np.isnan(known), self._features(raw) @ weights, known)

    def _features(self, raw: np.ndarray) -> np.ndarray:
        """One column for each choice of each gene, and of each pair of genes in a small space, (N, G) -> (N, F)."""
        sizes = self._cardinalities
        columns = [np.ones((len(raw), 1))] + [np.eye(size)[gene] for size, gene in zip(sizes, raw.T, strict=True)]
        columns += [np.eye(sizes[i] * sizes[j])[raw[:, i] * sizes[j] + raw[:, j]] for i, j in self._pairs]
        return np.concatenate(columns, axis=1)


def _merit(predicted: np.ndarray, archive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keys to sort by, the less important first: how far behind the archive, and which of three classes.

    Args:
        predicted: Losses of children, (N, M).
        archive: Losses of its members, (A, M).

    Returns:
        By how much of its range every loss would have to fall for an archive not to dominate it, or 0, (N,); and 0 for
        what nothing dominates, 1 for what children alone do, 2 for what the archive does, (N,).
    """
    import moocore

    both = np.concatenate([predicted, archive])
    span = np.ptp(both, axis=0)
    scaled = predicted / np.where(span > 0, span, 1.0)
    front = (archive / np.where(span > 0, span, 1.0)).T.copy()  # (M, A)
    behind = np.array([(row[:, None] - front).min(axis=0).max() for row in scaled])  # (N,), the additive epsilon
    dominated = behind >= 0
    first = moocore.is_nondominated(scaled, keep_weakly=True)
    classes = np.where(dominated, 2, np.where(first, 0, 1))
    return np.where(dominated, behind, 0.0), classes

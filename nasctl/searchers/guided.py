"""The search that nasctl recommends: children of the archive, weighed by a model before they are evaluated.

References:
    What it is put together from: the archive of all that was evaluated from Vo & Luong, "Efficient multi-objective
    neural architecture search via Pareto dominance-based novelty search", GECCO 2024, arXiv:2407.20656; parents by
    crowding from Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE Transactions on
    Evolutionary Computation 6 (2002) 182-197; models that choose what is evaluated next from Cummings et al., "A
    hardware-aware framework for accelerating neural architecture search across modalities" (LINAS), 2022,
    arXiv:2205.10358. To breed from the whole archive, and to take what the model takes for non-dominated by how far it
    is from what is known, is this project's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from nasctl.api import Archive, BadOption, Genome, Problem, promising, unseen

__all__ = ["Guided"]

FIRST = 50  # genomes drawn for each one that the search begins with,
POOL = 20  # and children for each one that is evaluated;
MOST = 8000  # so many of either at most, if that is two for each
RANDOM = 10  # of as many evaluations one is drawn at random, so that the model sees what it does not expect
SAMPLE = 4096  # members of the archive that a round looks at; of a larger one they are drawn at random
WIDEST = 1500  # features, above which genes count one by one and pairs of them are left out
PENALTY = 1e-2  # of the ridge, on squares of its weights
PAIRED = 0.3  # what a pair of genes counts as a feature, where one gene counts 1: the model prefers to add genes up


class Guided:
    """Breeds from the non-dominated set, and evaluates children that a model takes for non-dominated.

    It begins with networks that are spread over the objectives that need no module, the least of each included. Each
    later round makes `POOL` times as many children as it evaluates: two-point crossover of two members of the archive,
    each the less crowded of two, then every gene redrawn with probability 1 / G, networks that were evaluated before
    left out. Objectives that need no module are known of all of them. The others are predicted by ridge regression
    (penalty `PENALTY`) on the choice of each gene and, in small spaces, of each pair of genes, fitted to everything
    evaluated so far. Children that the archive does not dominate come first, one after another, each the farthest from
    the archive and from those taken before; distances are between values of the objectives that need no module, and
    between ranks of the others, whose scale says little. Once more was evaluated than the model has features, so that
    it is to be believed, those that no other child dominates come before all others. Then follow those that are nearest
    to the front, and last what breaks a constraint on what needs no module. One in `RANDOM` of a batch is drawn at
    random. Of an archive of more than `SAMPLE` members a round looks at as many, drawn at random.

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
        self._exact = np.array([goal.cost == "network" for goal in problem.objectives])  # (M,), known for free
        self._archive = Archive(len(problem.objectives))
        self._raw: dict[Genome, tuple[int, ...]] = {}  # what was asked for: by canonical genome, as it was bred
        self._asked: list[Genome] = []
        sizes, pairs = self._cardinalities, combinations(range(len(self._cardinalities)), 2)
        paired = [(i, j) for i, j in pairs if min(sizes[i], sizes[j]) > 1]
        self._pairs = paired if sum(sizes[i] * sizes[j] for i, j in paired) <= WIDEST else []
        width = self._features(np.zeros((1, len(sizes)), dtype=int)).shape[1]
        self._gram = PENALTY * np.eye(width)  # of the features of all that was evaluated, (F, F)
        self._told = 0  # evaluations that it was fitted to
        self._moments = np.zeros((width, len(problem.objectives)))  # of features and losses, (F, M)

    def ask(self) -> list[Genome]:
        fresh = self._bred() if self._archive.genomes else self._first()
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

    def replace_batch(self, genomes: Sequence[Genome]) -> None:
        """Put other genomes in place of the last ask; see `AcceptsBatch`."""
        bred = {genome: self._raw.pop(genome) for genome in self._asked}  # those not taken may be proposed again
        self._raw |= {genome: bred.get(genome, genome) for genome in genomes}
        self._asked = list(genomes)

    def tell(self, losses: np.ndarray, violations: np.ndarray) -> None:
        whole = ~np.isnan(losses).any(axis=1)
        for genome, row, good in zip(self._asked, losses, whole & (violations.sum(axis=1) == 0), strict=True):
            if good:
                self._archive.add(genome, row)
        features = self._features(np.array([self._raw[genome] for genome in self._asked]))[whole]
        self._told += len(features)
        self._gram += features.T @ features
        self._moments += features.T @ losses[whole]

    def _first(self) -> dict[Genome, tuple[int, ...]]:
        """What the search begins with, as it was drawn, by canonical genome; fewer where little holds the constraints.

        Nothing where no objective is known for free, or where all that was evaluated failed.
        """
        if self._raw or not self._exact.any():
            return {}
        drawn = unseen(self._space, self._rng, _number(FIRST, self._size))
        genomes = [self._space.canonical(raw) for raw in drawn]
        held = np.flatnonzero(self._problem.violation(genomes) == 0)
        exact = self._problem.cheap_losses(genomes)[held][:, self._exact]  # (H, E)
        if not len(held):
            return {}
        least = np.unique(exact.argmin(axis=0))[: self._size]
        places = _places(exact, np.ones(exact.shape[1], dtype=bool))
        others = np.setdiff1d(np.arange(len(held)), least)
        taken = [*least, *_farthest(places, places[least], [others], self._size - len(least))]
        return {genomes[held[k]]: drawn[held[k]] for k in taken}

    def _bred(self) -> dict[Genome, tuple[int, ...]]:
        """Children that are worth an evaluation, as they were bred, by canonical genome; a batch at most."""
        genomes, losses = self._archive.genomes, self._archive.losses
        if len(genomes) > SAMPLE:
            places = self._rng.choice(len(genomes), SAMPLE, replace=False)
            genomes, losses = [genomes[k] for k in places], losses[places]
        return self._chosen(self._children(genomes, losses), losses)

    def _children(self, genomes: Sequence[Genome], losses: np.ndarray) -> dict[Genome, tuple[int, ...]]:
        """New genomes bred from these, (A,), with their losses, (A, M); as they were bred, by canonical genome."""
        from pymoo.operators.survival.rank_and_crowding.metrics import calc_crowding_distance

        members = np.array([self._raw[genome] for genome in genomes])  # (A, G)
        number, length = _number(POOL, self._size), members.shape[1]
        alone = calc_crowding_distance(losses)  # (A,)
        drawn = self._rng.integers(len(members), size=(2, 2, number))  # two for each of two parents
        one, other = members[np.where(alone[drawn[0]] >= alone[drawn[1]], *drawn)]
        low, high = np.sort(self._rng.integers(length + 1, size=(2, number, 1)), axis=0)
        places = np.arange(length)
        crossed = np.where((places >= low) & (places < high), other, one)
        redrawn = (self._rng.random(crossed.shape) < 1 / length) & (self._cardinalities > 1)
        step = self._rng.integers(1, np.maximum(self._cardinalities, 2), size=crossed.shape)
        found: dict[Genome, tuple[int, ...]] = {}
        for raw in map(tuple, np.where(redrawn, (crossed + step) % self._cardinalities, crossed).tolist()):
            if (genome := self._space.canonical(raw)) not in self._raw:
                found.setdefault(genome, raw)
        return found

    def _chosen(self, children: dict[Genome, tuple[int, ...]], known: np.ndarray) -> dict[Genome, tuple[int, ...]]:
        """Those to evaluate where these losses are known, (A, M); the rest of a batch is drawn at random."""
        if not children:
            return {}
        genomes = list(children)
        predicted = self._predicted(genomes, np.array(list(children.values())))
        behind, classes = _merit(predicted, known)
        if self._told < len(self._gram):
            classes = np.where(classes == 1, 0, classes)
        broken = self._problem.violation(genomes)
        classes = np.where(broken > 0, 3, classes)
        order = self._rng.permutation(len(genomes))  # breaks ties
        ranked = order[np.lexsort((behind[order], broken[order], classes[order]))]
        wanted, good = self._size - max(1, self._size // RANDOM), [ranked[classes[ranked] == k] for k in (0, 1)]
        places = _places(np.concatenate([predicted, known]), self._exact)  # (N + A, M)
        taken = _farthest(places[: len(genomes)], places[len(genomes) :], good, wanted)
        taken += [k for k in ranked if classes[k] > 1][: wanted - len(taken)]
        return {genomes[k]: children[genomes[k]] for k in taken}

    def _predicted(self, genomes: list[Genome], raw: np.ndarray) -> np.ndarray:
        """Losses, (N, M), of which some are exact."""
        known = self._problem.cheap_losses(genomes)
        if not np.isnan(known).any():
            return known
        weights = np.linalg.solve(self._gram, self._moments)  # (F, M)
        return np.where(np.isnan(known), self._features(raw) @ weights, known)

    def _features(self, raw: np.ndarray) -> np.ndarray:
        """One column for each choice of each gene, and of each pair of genes in a small space, (N, G) -> (N, F)."""
        sizes = self._cardinalities
        columns = [np.ones((len(raw), 1))] + [np.eye(size)[gene] for size, gene in zip(sizes, raw.T, strict=True)]
        columns += [PAIRED * np.eye(sizes[i] * sizes[j])[raw[:, i] * sizes[j] + raw[:, j]] for i, j in self._pairs]
        return np.concatenate(columns, axis=1)


def _merit(predicted: np.ndarray, archive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far each child is behind the archive, and which of three classes it is of.

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


def _number(each: int, population: int) -> int:
    """How many genomes a batch is chosen from."""
    return max(2 * population, min(each * population, MOST))


def _places(losses: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Where candidates are among each other, from 0 to 1, (N, M): by value where it is exact, (M,), else by rank."""
    order, span = np.sort(losses, axis=0), np.ptp(losses, axis=0)
    ranks = [np.searchsorted(one, column, side="right") for one, column in zip(order.T, losses.T, strict=True)]
    scaled = (losses - losses.min(axis=0)) / np.where(span > 0, span, 1.0)
    return np.where(exact, scaled, np.column_stack(ranks) / len(losses))


def _farthest(points: np.ndarray, known: np.ndarray, classes: list[np.ndarray], number: int) -> list[int]:
    """Positions of points, class after class, each the farthest from what is known and from those before it.

    Args:
        points: (N, M).
        known: (A, M).
        classes: Positions of the points that may be taken.
        number: How many to take at most.
    """
    taken: list[int] = []
    for places in classes:
        there = np.concatenate([known, points[taken]])
        near = np.array([np.linalg.norm(there - point, axis=1).min() for point in points[places]])
        for _ in range(min(number - len(taken), len(places))):
            taken.append(int(places[near.argmax()]))
            near = np.minimum(near, np.linalg.norm(points[places] - points[taken[-1]], axis=1))
            near[places == taken[-1]] = -1.0
    return taken

"""Guided search, the default of nasctl: children of the archive, filtered by a surrogate model before evaluation.

References:
    Vo & Luong, "Efficient multi-objective neural architecture search via Pareto dominance-based novelty search", GECCO
    2024, arXiv:2407.20656, for the archive of all evaluations.
    Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE Transactions on Evolutionary
    Computation 6 (2002) 182-197, for the choice of parents by crowding distance.
    Cummings et al., "A hardware-aware framework for accelerating neural architecture search across modalities" (LINAS),
    2022, arXiv:2205.10358, for models that choose the next evaluations.
    Two parts are specific to nasctl: breeding from the whole archive, and choosing predicted non-dominated children by
    their distance from known losses.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from nasctl.api import Archive, BadOption, Genome, Problem, promising, starting_genomes, unseen
from nasctl.searchers._mutation import redraw_genes

__all__ = ["Guided"]

INITIAL_DRAWS = 50  # genomes sampled per genome of the initial population
CHILDREN = 20  # children bred per evaluation
MAX_DRAWS = 8000  # maximum number of sampled genomes or children per round, unless 2 per evaluation are more
RANDOM_PERIOD = 10  # 1 of this many evaluations is random, so that the model also sees genomes that it would reject
MAX_ARCHIVE_SAMPLE = 4096  # maximum number of archive members used in a round; a larger archive is subsampled
MAX_PAIR_FEATURES = 1500  # maximum number of pair features; larger spaces use features of single genes only
RIDGE_PENALTY = 1e-2  # L2 penalty of ridge regression on squared weights
PAIR_WEIGHT = 0.3  # value of a pair feature, where a gene feature is 1; a smaller value favours additive models


class Guided:
    """A model-based genetic algorithm that breeds from the archive and evaluates children predicted non-dominated.

    Objectives that need no module are called exact below, because they are computed for every child without using
    budget.

    Initial population: the genomes that the problem names, then genomes spread over the exact objectives, including
    the minimum of each.

    Later rounds: each round breeds `CHILDREN` times as many children as it evaluates. Each of two parents is the less
    crowded of two random archive members. Two-point crossover is followed by redrawing every gene with probability
    1 / G. Networks that were evaluated before are dropped. The other objectives are predicted by ridge regression
    (penalty `RIDGE_PENALTY`) on the choice of each gene and, in small spaces, of each pair of genes. The regression is
    fitted to all evaluations so far.

    Selection: children that the archive does not dominate come first. They are chosen one by one, each the farthest
    from the archive and from the children chosen before. Distances use values of exact objectives and ranks of
    predicted objectives, whose scale is unreliable. Once there are more evaluations than features, the model is trusted
    further, and children that no other child dominates come before the rest. Next come the children closest to the
    front. Children that violate a constraint on exact objectives come last. One in `RANDOM_PERIOD` genomes of a batch
    is random. A round uses at most `MAX_ARCHIVE_SAMPLE` random members of the archive.

    Args:
        problem: Search space, objectives and constraints.
        rng: Source of all randomness.
        population: Number of genomes per `ask`.
    """

    def __init__(self, problem: Problem, rng: np.random.Generator, population: int = 20) -> None:
        if not 2 <= population <= 10_000:
            raise BadOption(f"population must be 2 to 10,000, got {population} (option of guided)")
        self._problem, self._space, self._rng, self._size = problem, problem.space, rng, population
        self._cardinalities = np.array([len(gene.choices) for gene in problem.space.genes])  # (G,)
        self._exact = np.array([goal.cost == "network" for goal in problem.objectives])  # (M,), computed without budget
        self._archive = Archive(len(problem.objectives))
        self._raw: dict[Genome, tuple[int, ...]] = {}  # canonical genome -> raw genome, of all proposed genomes
        self._asked: list[Genome] = []
        sizes, pairs = self._cardinalities, combinations(range(len(self._cardinalities)), 2)
        paired = [(i, j) for i, j in pairs if min(sizes[i], sizes[j]) > 1]
        self._pairs = paired if sum(sizes[i] * sizes[j] for i, j in paired) <= MAX_PAIR_FEATURES else []
        width = self._features(np.zeros((1, len(sizes)), dtype=int)).shape[1]
        self._gram = RIDGE_PENALTY * np.eye(width)  # X^T X + penalty, X the features of all evaluations, (F, F)
        self._n_fitted = 0  # evaluations in the Gram matrix
        self._moments = np.zeros((width, len(problem.objectives)))  # X^T Y, Y the losses, (F, M)

    def ask(self) -> list[Genome]:
        fresh = self._promising_children() if self._archive.genomes else self._initial_genomes()
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
        for genome, row, feasible in zip(self._asked, losses, whole & (violations.sum(axis=1) == 0), strict=True):
            if feasible:
                self._archive.add(genome, row)
        features = self._features(np.array([self._raw[genome] for genome in self._asked]))[whole]
        self._n_fitted += len(features)
        self._gram += features.T @ features
        self._moments += features.T @ losses[whole]

    def _initial_genomes(self) -> dict[Genome, tuple[int, ...]]:
        """Return raw genomes of the initial population by canonical genome.

        The result is smaller than a batch if few genomes satisfy the constraints. The result is empty if no objective
        is exact, or if all genomes evaluated so far failed.
        """
        if self._raw or not self._exact.any():
            return {}
        first = starting_genomes(self._problem)[: self._size]
        drawn = unseen(self._space, self._rng, _number_of_draws(INITIAL_DRAWS, self._size), first)
        genomes = [self._space.canonical(raw) for raw in drawn]
        held = np.flatnonzero(self._problem.violation(genomes) == 0)
        exact = self._problem.cheap_losses([*genomes, *first])[:, self._exact]
        named, exact = exact[len(genomes) :], exact[held]  # (S, E), (H, E)
        if not len(held):
            return {}
        number = self._size - len(first)
        least = np.unique(exact.argmin(axis=0))[:number]
        named = named[~np.isnan(named).any(axis=1)]
        places = _normalise(np.concatenate([exact, named]), np.ones(exact.shape[1], dtype=bool))
        others = np.setdiff1d(np.arange(len(held)), least)
        known = np.concatenate([places[least], places[len(held) :]])
        taken = [*least, *_farthest(places, known, [others], number - len(least))]
        return dict(zip(first, first, strict=True)) | {genomes[held[k]]: drawn[held[k]] for k in taken}

    def _promising_children(self) -> dict[Genome, tuple[int, ...]]:
        """Return raw genomes of the children to evaluate by canonical genome, at most one batch."""
        genomes, losses = self._archive.genomes, self._archive.losses
        if len(genomes) > MAX_ARCHIVE_SAMPLE:
            places = self._rng.choice(len(genomes), MAX_ARCHIVE_SAMPLE, replace=False)
            genomes, losses = [genomes[k] for k in places], losses[places]
        return self._select(self._children(genomes, losses), losses)

    def _children(self, genomes: Sequence[Genome], losses: np.ndarray) -> dict[Genome, tuple[int, ...]]:
        """Breed new genomes from archive members.

        Args:
            genomes: Canonical genomes of the members, (A,).
            losses: Losses of the members, (A, M).

        Returns:
            Raw genomes by canonical genome.
        """
        from pymoo.operators.survival.rank_and_crowding.metrics import calc_crowding_distance

        members = np.array([self._raw[genome] for genome in genomes])  # (A, G)
        number, length = _number_of_draws(CHILDREN, self._size), members.shape[1]
        crowding = calc_crowding_distance(losses)  # (A,)
        drawn = self._rng.integers(len(members), size=(2, 2, number))  # two contestants for each of two parents
        one, other = members[np.where(crowding[drawn[0]] >= crowding[drawn[1]], *drawn)]
        low, high = np.sort(self._rng.integers(length + 1, size=(2, number, 1)), axis=0)
        places = np.arange(length)
        crossed = np.where((places >= low) & (places < high), other, one)
        mutated = redraw_genes(self._rng, crossed, self._cardinalities, 1 / length)
        found: dict[Genome, tuple[int, ...]] = {}
        for raw in map(tuple, mutated.tolist()):
            if (genome := self._space.canonical(raw)) not in self._raw:
                found.setdefault(genome, raw)
        return found

    def _select(self, children: dict[Genome, tuple[int, ...]], known: np.ndarray) -> dict[Genome, tuple[int, ...]]:
        """Return the children to evaluate, given known losses, (A, M).

        Random genomes fill the rest of the batch.
        """
        if not children:
            return {}
        genomes = list(children)
        predicted = self._predict(genomes, np.array(list(children.values())))
        behind, classes = _dominance_classes(predicted, known)
        if self._n_fitted < len(self._gram):
            classes = np.where(classes == 1, 0, classes)
        broken = self._problem.violation(genomes)
        classes = np.where(broken > 0, 3, classes)
        order = self._rng.permutation(len(genomes))  # breaks ties
        ranked = order[np.lexsort((behind[order], broken[order], classes[order]))]
        wanted = self._size - max(1, self._size // RANDOM_PERIOD)
        preferred = [ranked[classes[ranked] == k] for k in (0, 1)]
        places = _normalise(np.concatenate([predicted, known]), self._exact)  # (N + A, M)
        taken = _farthest(places[: len(genomes)], places[len(genomes) :], preferred, wanted)
        taken += [k for k in ranked if classes[k] > 1][: wanted - len(taken)]
        return {genomes[k]: children[genomes[k]] for k in taken}

    def _predict(self, genomes: list[Genome], raw: np.ndarray) -> np.ndarray:
        """Return losses, (N, M): exact ones where no module is needed, predictions otherwise."""
        known = self._problem.cheap_losses(genomes)
        if not np.isnan(known).any():
            return known
        weights = np.linalg.solve(self._gram, self._moments)  # (F, M)
        return np.where(np.isnan(known), self._features(raw) @ weights, known)

    def _features(self, raw: np.ndarray) -> np.ndarray:
        """Return one feature per choice of each gene and, in small spaces, of each pair of genes, (N, G) -> (N, F)."""
        sizes = self._cardinalities
        columns = [np.ones((len(raw), 1))] + [np.eye(size)[gene] for size, gene in zip(sizes, raw.T, strict=True)]
        columns += [PAIR_WEIGHT * np.eye(sizes[i] * sizes[j])[raw[:, i] * sizes[j] + raw[:, j]] for i, j in self._pairs]
        return np.concatenate(columns, axis=1)


def _dominance_classes(predicted: np.ndarray, archive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distance of each child behind the archive and its dominance class.

    Args:
        predicted: Losses of children, (N, M).
        archive: Losses of archive members, (A, M).

    Returns:
        The amount by which all losses of a child would have to fall, in units of their ranges, so that the archive does
        not dominate the child, or 0, (N,). The class, (N,): 0 for a child that nothing dominates, 1 for a child that
        only other children dominate, 2 for a child that the archive dominates.
    """
    import moocore

    both = np.concatenate([predicted, archive])
    span = np.ptp(both, axis=0)
    scaled = predicted / np.where(span > 0, span, 1.0)
    front = (archive / np.where(span > 0, span, 1.0)).T.copy()  # (M, A)
    behind = np.array([(row[:, None] - front).min(axis=0).max() for row in scaled])  # (N,), additive epsilon indicator
    dominated = behind >= 0
    first = moocore.is_nondominated(scaled, keep_weakly=True)
    classes = np.where(dominated, 2, np.where(first, 0, 1))
    return np.where(dominated, behind, 0.0), classes


def _number_of_draws(each: int, population: int) -> int:
    """Return the number of genomes from which a batch is chosen.

    Args:
        each: Genomes drawn per genome of the population.
        population: Number of genomes per batch.
    """
    return max(2 * population, min(each * population, MAX_DRAWS))


def _normalise(losses: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Return losses scaled to 0 to 1, (N, M): by value where an objective is exact, (M,), otherwise by rank."""
    order, span = np.sort(losses, axis=0), np.ptp(losses, axis=0)
    ranks = [np.searchsorted(one, column, side="right") for one, column in zip(order.T, losses.T, strict=True)]
    scaled = (losses - losses.min(axis=0)) / np.where(span > 0, span, 1.0)
    return np.where(exact, scaled, np.column_stack(ranks) / len(losses))


def _farthest(points: np.ndarray, known: np.ndarray, classes: list[np.ndarray], number: int) -> list[int]:
    """Choose points class by class, each the farthest from known points and from the points chosen before.

    Args:
        points: Points to choose from, (N, M).
        known: Known points, (A, M).
        classes: Positions of the eligible points of each class.
        number: Maximum number of points to choose.

    Returns:
        Positions of the chosen points.
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

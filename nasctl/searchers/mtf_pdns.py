"""MTF-PDNS: novelty search with the losses as descriptor and the Pareto archive as memory.

References:
    Vo & Luong, "Efficient multi-objective neural architecture search via Pareto dominance-based novelty search", GECCO
    2024, arXiv:2407.20656; github.com/ELO-Lab/PDNS.
"""

from __future__ import annotations

import numpy as np

from nasctl.api import Archive, BadOption, Genome, Problem, promising, unseen
from nasctl.searchers._mutation import redraw_genes

__all__ = ["MTFPDNS"]

MAX_ARCHIVE_SAMPLE = 4096  # maximum number of archive members used for distances
RETRIES = 50  # mutations of a child that was proposed before, after which a random genome replaces the child


class MTFPDNS:
    """Pareto dominance-based novelty search; MTF-PDNS if the objectives are several training-free metrics.

    Raw genomes are bred, and canonical genomes are evaluated and archived. A population bred from canonical genomes
    loses the genes that currently have no effect, and with them its diversity (on NAS-Bench-201 it collapses).

    Differences from the authors' code that `published` removes: a child that was evaluated before is mutated again.
    Every gene mutates with probability 1 / G instead of 1 / 6. Crossover may also exchange the last gene.

    Differences from the authors' code that always apply: the range of an objective counts as 1 if all its losses are
    equal. If the archive has more than `MAX_ARCHIVE_SAMPLE` members, distances use a subsample of that size, drawn with
    a fixed seed. A failed candidate never enters the archive and ranks last. Infeasible candidates, which the paper
    does not consider, rank below all feasible ones.

    Args:
        problem: Search space, constraints, and the M objectives that form the descriptor.
        rng: Source of all randomness.
        population: Population size, which is also the number of genomes per `ask`; an even number.
        published: Reproduce the authors' code.
    """

    def __init__(
        self, problem: Problem, rng: np.random.Generator, population: int = 20, published: bool = False
    ) -> None:
        if not 2 <= population <= 10_000 or population % 2:
            raise BadOption(f"population must be even and 2 to 10,000, got {population} (option of mtf_pdns)")
        self._archive = Archive(len(problem.objectives))
        self._problem, self._space, self._rng = problem, problem.space, rng
        self._cardinalities = np.array([len(gene.choices) for gene in problem.space.genes])  # (G,)
        self._parents = np.empty((0, len(self._cardinalities)), dtype=int)  # (N, G)
        self._losses = np.empty((0, len(problem.objectives)))  # losses of the parents, (N, M)
        self._broken = np.empty(0)  # total violation of the parents, (N,)
        self._size, self._published = population, published
        self._seen: set[Genome] = set()  # canonical genomes that were proposed

    def ask(self) -> list[Genome]:
        if not len(self._parents) and self._published:
            children = self._rng.integers(self._cardinalities, size=(self._size, len(self._cardinalities)))
        elif not len(self._parents):
            children = np.array(promising(self._problem, self._rng, self._size), dtype=int)
        else:
            children = self._mutate(self._crossover(self._parents))
            children = children if self._published else self._replace_seen(children)
        self._children = children.reshape(-1, len(self._cardinalities))
        asked = self._canonical(self._children)
        self._seen |= set(asked)
        return asked

    def tell(self, losses: np.ndarray, violations: np.ndarray) -> None:
        broken = violations.sum(axis=1)
        for genome, row, excess in zip(self._canonical(self._children), losses, broken, strict=True):
            if excess == 0 and not np.isnan(row).any():
                self._archive.add(genome, row)
        pool = np.concatenate([self._parents, self._children])  # (N + children, G)
        pool_losses, pool_broken = np.concatenate([self._losses, losses]), np.concatenate([self._broken, broken])
        chosen = np.arange(len(pool))
        if len(self._parents):
            member = np.array([genome in self._archive for genome in self._canonical(pool)])
            scores = novelty(pool_losses, subsample(self._archive.losses), member)
            # A distance in M scaled dimensions never exceeds sqrt(M), so infeasible genomes rank below feasible ones.
            infeasible = -np.sqrt(losses.shape[1]) - pool_broken
            chosen = self._tournament(np.where(pool_broken > 0, infeasible, scores))
        self._parents, self._losses, self._broken = pool[chosen], pool_losses[chosen], pool_broken[chosen]

    def _canonical(self, genomes: np.ndarray) -> list[Genome]:
        return [self._space.canonical(tuple(genome)) for genome in genomes.tolist()]

    def _crossover(self, parents: np.ndarray) -> np.ndarray:
        """Recombine random pairs by two-point crossover, (N, G) -> (N, G)."""
        shuffled = self._rng.permutation(parents)
        points = parents.shape[1] + (0 if self._published else 1)
        if points < 2:
            return shuffled
        for first, second in zip(shuffled[::2], shuffled[1::2], strict=False):  # a last unpaired parent stays as it is
            low, high = sorted(self._rng.choice(points, size=2, replace=False))
            first[low:high], second[low:high] = second[low:high].copy(), first[low:high].copy()
        return shuffled

    def _mutate(self, children: np.ndarray) -> np.ndarray:
        """Change each gene with the same probability to another of its choices, (N, G) -> (N, G)."""
        rate = 1 / 6 if self._published else 1 / children.shape[1]
        return redraw_genes(self._rng, children, self._cardinalities, rate)

    def _replace_seen(self, children: np.ndarray) -> np.ndarray:
        """Mutate children that were proposed before until they are new.

        A child that stays known after `RETRIES` mutations is replaced by a random genome, or left out if there is none.
        """
        fresh: dict[Genome, np.ndarray] = {}
        for child in children:
            for _ in range(RETRIES):
                (genome,) = self._canonical(child[None])
                if genome not in self._seen and genome not in fresh:
                    fresh[genome] = child
                    break
                child = self._mutate(child[None])[0]
        missing = len(children) - len(fresh)
        drawn = unseen(self._space, self._rng, missing, self._seen | fresh.keys()) if missing else []
        return np.array([*fresh.values(), *drawn], dtype=int)

    def _tournament(self, scores: np.ndarray) -> np.ndarray:
        """Return the position of the better member of each random pair, (P,) -> (ceil(P / 2),)."""
        shuffled = self._rng.permutation(len(scores))
        first, second = shuffled[::2], np.append(shuffled[1::2], shuffled[: len(shuffled) % 2])
        return np.where(scores[first] >= scores[second], first, second)


def subsample(archive: np.ndarray) -> np.ndarray:
    """Return the losses of an archive, (A, M), or of `MAX_ARCHIVE_SAMPLE` random members if the archive is larger."""
    if len(archive) <= MAX_ARCHIVE_SAMPLE:
        return archive
    return archive[np.random.default_rng(0).choice(len(archive), MAX_ARCHIVE_SAMPLE, replace=False)]


def novelty(losses: np.ndarray, archive: np.ndarray, member: np.ndarray) -> np.ndarray:
    """Return the mean distance of archive members to the archive, and minus that distance for all other candidates.

    Members therefore rank first, in descending order of the sparseness of their part of the front. Dominated candidates
    rank in order of their proximity to the front. Distances are Euclidean, with each loss scaled to [0, 1] over pool
    and archive.

    Args:
        losses: Losses of the pool, (P, M). A row with NaN has novelty minus infinity.
        archive: Losses of the archive, (A, M), finite.
        member: True for candidates in the archive, (P,).

    Returns:
        Novelty, (P,).
    """
    scores = np.full(len(losses), -np.inf)
    complete = ~np.isnan(losses).any(axis=1)
    if not complete.any() or not len(archive):
        return scores
    seen = np.concatenate([losses[complete], archive])
    span = np.ptp(seen, axis=0)  # (M,); distances do not change if the minimum is not subtracted
    span[span == 0] = 1.0  # the authors' code divides zero by zero if all losses of an objective are equal
    squares = np.zeros((complete.sum(), len(archive)))  # (P, A); includes the distance 0 of a member to itself
    for k in range(losses.shape[1]):  # one array of (P, A, M) takes ten times as long
        squares += ((losses[complete, k, None] - archive[:, k]) / span[k]) ** 2
    scores[complete] = np.where(member[complete], 1.0, -1.0) * np.sqrt(squares).mean(axis=1)
    return scores

"""Progressive search: networks that grow block by block, and a model that chooses the extensions to evaluate.

References:
    Liu et al., "Progressive neural architecture search" (PNAS), ECCV 2018, arXiv:1712.00559, algorithm 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, product
from math import prod

import numpy as np

from nasctl.api import BadOption, Gene, Genome, Problem, SearchSpace, unseen
from nasctl.searchers._ranking import best_first, normal_scores, one_hot

__all__ = ["Progressive"]

RIDGE_PENALTY = 1.0  # L2 penalty of ridge regression, in units of one observation
MAX_RANKED = 4096  # maximum number of candidates ranked in a step; a larger number is subsampled at random
MAX_BLOCK_SETTINGS = 1000  # maximum number of settings of a block whose genes are decided together


class Progressive:
    """A beam search that decides genes in their order and keeps the most promising beginnings.

    A beginning is a genome whose first genes are decided. The cheapest choices complete it to a small network. Each
    step tries every setting of the next block after every beginning in the beam and ranks the resulting networks. It
    evaluates the best networks, which form the next beam. A block is a run of genes whose names agree up to the last
    dot ("stage1.0.kernel", "stage1.0.expand"), or a single gene.

    Ranks come from one ridge regression per objective that needs a module. Its features are one-hot genes, and the
    number of times that a choice occurs among genes with equal choices. The second kind of feature lets the model
    predict genes that have never varied, like the shared embedding of blocks in the paper. Arithmetic objectives and
    constraints are computed. With several objectives, networks rank by non-dominated front and crowding distance, as in
    NSGA-II.

    Differences from the paper: ridge regression replaces an ensemble of recurrent networks, and predicts ranks instead
    of values. When all genes are decided, the search restarts with twice the beam and with all evaluations, until the
    space is exhausted.

    Args:
        problem: Search space, objectives and constraints. Genes come in the order in which networks grow.
        rng: Source of all randomness. It only breaks ties between equally ranked candidates, so seeds differ little.
        beam: Number of beginnings to keep, K in the paper. The first pass evaluates at most this many genomes per
            block.
    """

    def __init__(self, problem: Problem, rng: np.random.Generator, beam: int = 10) -> None:
        if not 1 <= beam <= 10_000:
            raise BadOption(f"beam must be 1 to 10,000, got {beam} (option of progressive)")
        self._problem, self._space, self._rng, self._beam = problem, problem.space, rng, beam
        self._cardinalities = np.array([len(gene.choices) for gene in problem.space.genes])  # (G,)
        self._sharing = sharing_matrix(problem.space.genes)  # (D, K)
        self._exact = np.array([goal.cost == "network" for goal in problem.objectives])  # (M,)
        self._blocks, self._completion = blocks(problem.space.genes), cheapest(problem.space)
        self._step, self._has_new = 0, False
        self._beginnings: list[Genome] = [()]
        self._known: dict[Genome, tuple[np.ndarray, float]] = {}  # canonical -> losses, (M,), and total violation

    def ask(self) -> list[Genome]:
        while self._step < len(self._blocks) or self._has_new:
            if self._step == len(self._blocks):
                self._step, self._has_new, self._beginnings, self._beam = 0, False, [()], 2 * self._beam
            grown = self._extend()
            genomes = list(grown)
            chosen = [genomes[place] for place in self._rank(genomes)]
            self._beginnings = [grown[genome] for genome in chosen]
            self._step += 1
            self._asked = [genome for genome in chosen if genome not in self._known]
            if self._asked:
                self._has_new = True
                return self._asked
        drawn = unseen(self._space, self._rng, self._beam, self._known)  # genomes that no beginning leads to
        self._asked = [self._space.canonical(raw) for raw in drawn]
        return self._asked

    def tell(self, losses: np.ndarray, violations: np.ndarray) -> None:
        rows = zip(losses, violations.sum(axis=1).tolist(), strict=True)
        self._known |= dict(zip(self._asked, rows, strict=True))

    def _extend(self) -> dict[Genome, Genome]:
        """Return all beginnings extended by all settings of the next block, by canonical genome of their completion."""
        settings = list(product(*(range(self._cardinalities[gene]) for gene in self._blocks[self._step])))
        pairs = [(*beginning, *setting) for beginning in self._beginnings for setting in settings]
        # The order is random, so that ties in the ranking are broken at random.
        mixed = [pairs[k] for k in self._rng.permutation(len(pairs))[:MAX_RANKED].tolist()]
        return {self._space.canonical((*pair, *self._completion[len(pair) :])): pair for pair in mixed}

    def _rank(self, genomes: Sequence[Genome]) -> list[int]:
        """Return the positions of canonical genomes, the most promising first."""
        known = list(self._known)
        seen = np.array([row for row, _ in self._known.values()]).reshape(-1, len(self._exact))  # (N, M)
        broken = np.array([total for _, total in self._known.values()])  # (N,)
        table, excess = (
            np.where(self._exact, self._problem.cheap_losses(genomes), 0.0),
            self._problem.violation(genomes),
        )
        known_places = [k for k, genome in enumerate(genomes) if genome in self._known]
        places = {genome: n for n, genome in enumerate(known)}
        place = [places[genomes[k]] for k in known_places]
        for m in np.flatnonzero(~self._exact):
            is_finite = np.isfinite(seen[:, m])
            targets = np.full(len(known), np.nan)
            if is_finite.any():
                targets[is_finite] = normal_scores(seen[is_finite, m])
                fitted_genomes = [genome for genome, one in zip(known, is_finite, strict=True) if one]
                table[:, m] = ridge(self._features(fitted_genomes), targets[is_finite], self._features(genomes))
            table[known_places, m] = targets[place]
        excess[known_places] = broken[place]
        order: list[int] = best_first(table, excess, self._beam).tolist()
        return order

    def _features(self, genomes: Sequence[Genome]) -> np.ndarray:
        """Return one-hot genes, and how often each choice occurs among genes with equal choices, (N, D + K)."""
        coded = one_hot(genomes, self._cardinalities)
        return np.concatenate([coded, coded @ self._sharing], axis=1)


def blocks(genes: Sequence[Gene]) -> list[list[int]]:
    """Return the positions of the genes that are decided together, in order."""
    found: list[list[int]] = []
    for _, run in groupby(range(len(genes)), key=lambda k: genes[k].name.rpartition(".")[0] or k):
        block = list(run)
        together = prod(len(genes[k].choices) for k in block) <= MAX_BLOCK_SETTINGS
        found += [block] if together else [[k] for k in block]
    return found


def cheapest(space: SearchSpace) -> Genome:
    """Return the choices that complete beginnings: for each gene, the choice with the fewest MACs, then parameters.

    Several choices can be equally cheap, such as pooling, identity and no connection. Among the completions made of
    these, the result is the one under which the most single changes alter the network. A completion without any signal
    flow would hide such changes.
    """
    sizes = [len(gene.choices) for gene in space.genes]
    first = (0,) * len(sizes)
    equal = []
    for gene, size in enumerate(sizes):
        networks = [space.network(_with_choice(first, gene, choice)) for choice in range(size)]
        costs = [(network.macs, network.params) for network in networks]
        equal.append([choice for choice in range(size) if costs[choice] == min(costs)])
    completions = [tuple(cheap[min(k, len(cheap) - 1)] for cheap in equal) for k in range(max(map(len, equal)))]
    changes = [(gene, choice) for gene, size in enumerate(sizes) for choice in range(size)]
    return max(completions, key=lambda one: len({space.canonical(_with_choice(one, *change)) for change in changes}))


def sharing_matrix(genes: Sequence[Gene]) -> np.ndarray:
    """Return the matrix that adds up one-hot genes over genes with equal choices, (D, K)."""
    kinds = list(dict.fromkeys(gene.choices for gene in genes))
    starts = dict(zip(kinds, np.cumsum([0, *map(len, kinds)]).tolist(), strict=False))
    columns = [starts[gene.choices] + choice for gene in genes for choice in range(len(gene.choices))]
    return np.eye(sum(map(len, kinds)))[columns]


def ridge(known: np.ndarray, values: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Return the prediction of ridge regression at some features.

    Args:
        known: Features of the observations, (N, D).
        values: Observed values, (N,).
        features: Features to predict at, (Q, D).

    Returns:
        Predicted values, (Q,).
    """
    centre, mean = known.mean(axis=0), values.mean()
    scatter = (known - centre).T @ (known - centre) + RIDGE_PENALTY * np.eye(known.shape[1])
    weights = np.linalg.solve(scatter, (known - centre).T @ (values - mean))
    return np.asarray(mean + (features - centre) @ weights)


def _with_choice(genome: Genome, gene: int, choice: int) -> Genome:
    """Return a genome with one gene set to another choice."""
    return (*genome[:gene], choice, *genome[gene + 1 :])

"""Progressive search: networks grow block by block, and a model decides which of the next step are measured.

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

ALPHA = 1.0  # of ridge regression, in units of one observation
RANKED = 4096  # candidates of a step that are ranked; of more, a random part
WIDEST = 1000  # settings of a block up to which its genes are decided together


class Progressive:
    """Decides the genes of a space in their order, keeping a beam of the most promising beginnings.

    A beginning is completed by the cheapest choices, so that it is a small network. Each step tries every setting of
    the next block after every beginning in the beam, ranks the networks, and measures the first ones, which are the
    next beam. A block is a run of genes whose names agree up to the last dot ("stage1.0.kernel", "stage1.0.expand"), or
    else one gene. Ranks come from a ridge regression for each objective that needs a module, on one-hot genes and on
    how often a choice was made among genes with equal choices: the second is what the model knows of a gene that was
    never varied, as the embedding that all blocks share is in the paper. Arithmetic objectives and constraints are
    computed. With several objectives the rank is that of NSGA-II, front and crowding.

    Departures: ridge regression in place of an ensemble of recurrent networks, and of ranks in place of values; when
    all genes are decided the search grows anew with twice the beam and all that it knows, until the space is used up.

    Args:
        problem: Where to search, and for what; genes come in the order in which networks grow.
        rng: Source of all randomness: it only decides between candidates that rank equal, so seeds differ little.
        beam: Beginnings that are kept, K of the paper; growing once measures no more than this for each block.
    """

    def __init__(self, problem: Problem, rng: np.random.Generator, beam: int = 10) -> None:
        if not 1 <= beam <= 10_000:
            raise BadOption(f"progressive needs a beam of 1 to 10,000, not beam={beam}")
        self._problem, self._space, self._rng, self._beam = problem, problem.space, rng, beam
        self._cardinalities = np.array([len(gene.choices) for gene in problem.space.genes])  # (G,)
        self._kinds = shared(problem.space.genes)  # (D, K)
        self._priced = np.array([goal.cost == "network" for goal in problem.objectives])  # (M,)
        self._blocks, self._rest = blocks(problem.space.genes), cheapest(problem.space)
        self._step, self._news = 0, False
        self._beginnings: list[Genome] = [()]
        self._known: dict[Genome, tuple[np.ndarray, float]] = {}  # canonical -> losses (M,) and total violation

    def ask(self) -> list[Genome]:
        while self._step < len(self._blocks) or self._news:
            if self._step == len(self._blocks):
                self._step, self._news, self._beginnings, self._beam = 0, False, [()], 2 * self._beam
            grown = self._grown()
            genomes = list(grown)
            chosen = [genomes[place] for place in self._ranked(genomes)]
            self._beginnings = [grown[genome] for genome in chosen]
            self._step += 1
            self._asked = [genome for genome in chosen if genome not in self._known]
            if self._asked:
                self._news = True
                return self._asked
        drawn = unseen(self._space, self._rng, self._beam, self._known)  # what no beginning leads to
        self._asked = [self._space.canonical(raw) for raw in drawn]
        return self._asked

    def tell(self, losses: np.ndarray, violations: np.ndarray) -> None:
        rows = zip(losses, violations.sum(axis=1).tolist(), strict=True)
        self._known |= dict(zip(self._asked, rows, strict=True))

    def _grown(self) -> dict[Genome, Genome]:
        """Every setting of the next block after every beginning, by the canonical network that it is completed to."""
        settings = list(product(*(range(self._cardinalities[gene]) for gene in self._blocks[self._step])))
        pairs = [(*beginning, *setting) for beginning in self._beginnings for setting in settings]
        # In random order, so that what ranks equal is in no order of its own.
        mixed = [pairs[k] for k in self._rng.permutation(len(pairs))[:RANKED].tolist()]
        return {self._space.canonical((*pair, *self._rest[len(pair) :])): pair for pair in mixed}

    def _ranked(self, genomes: Sequence[Genome]) -> list[int]:
        """Places of canonical genomes, the most promising first."""
        known = list(self._known)
        seen = np.array([row for row, _ in self._known.values()]).reshape(-1, len(self._priced))  # (N, M)
        broken = np.array([total for _, total in self._known.values()])  # (N,)
        table, excess = (
            np.where(self._priced, self._problem.cheap_losses(genomes), 0.0),
            self._problem.violation(genomes),
        )
        again = [k for k, genome in enumerate(genomes) if genome in self._known]
        places = {genome: n for n, genome in enumerate(known)}
        place = [places[genomes[k]] for k in again]
        for m in np.flatnonzero(~self._priced):
            fine = np.isfinite(seen[:, m])
            targets = np.full(len(known), np.nan)
            if fine.any():
                targets[fine] = normal_scores(seen[fine, m])
                taught = [genome for genome, one in zip(known, fine, strict=True) if one]
                table[:, m] = ridge(self._features(taught), targets[fine], self._features(genomes))
            table[again, m] = targets[place]
        excess[again] = broken[place]
        order: list[int] = best_first(table, excess, self._beam).tolist()
        return order

    def _features(self, genomes: Sequence[Genome]) -> np.ndarray:
        """One-hot genes, and how often each choice was made among genes with equal choices, (N, D + K)."""
        coded = one_hot(genomes, self._cardinalities)
        return np.concatenate([coded, coded @ self._kinds], axis=1)


def blocks(genes: Sequence[Gene]) -> list[list[int]]:
    """Positions of the genes that are decided together, in order."""
    found: list[list[int]] = []
    for _, run in groupby(range(len(genes)), key=lambda k: genes[k].name.rpartition(".")[0] or k):
        block = list(run)
        together = prod(len(genes[k].choices) for k in block) <= WIDEST
        found += [block] if together else [[k] for k in block]
    return found


def cheapest(space: SearchSpace) -> Genome:
    """The choices that beginnings are completed with: for each gene that of the fewest MACs, then parameters.

    Where several are equally cheap, as pooling, identity and no connection at all are, that completion is taken under
    which most single changes make a difference: a network that nothing flows through would hide them.
    """
    sizes = [len(gene.choices) for gene in space.genes]
    first = (0,) * len(sizes)
    equal = []
    for gene, size in enumerate(sizes):
        networks = [space.network(_changed(first, gene, choice)) for choice in range(size)]
        costs = [(network.macs, network.params) for network in networks]
        equal.append([choice for choice in range(size) if costs[choice] == min(costs)])
    completions = [tuple(some[min(k, len(some) - 1)] for some in equal) for k in range(max(map(len, equal)))]
    changes = [(gene, choice) for gene, size in enumerate(sizes) for choice in range(size)]
    return max(completions, key=lambda one: len({space.canonical(_changed(one, *change)) for change in changes}))


def shared(genes: Sequence[Gene]) -> np.ndarray:
    """What adds up one-hot genes over genes with equal choices, (D, K)."""
    kinds = list(dict.fromkeys(gene.choices for gene in genes))
    starts = dict(zip(kinds, np.cumsum([0, *map(len, kinds)]).tolist(), strict=False))
    columns = [starts[gene.choices] + choice for gene in genes for choice in range(len(gene.choices))]
    return np.eye(sum(map(len, kinds)))[columns]


def ridge(known: np.ndarray, values: np.ndarray, features: np.ndarray) -> np.ndarray:
    """What ridge regression predicts at features, (Q, D), from values, (N,), at known ones, (N, D): (Q,)."""
    centre, mean = known.mean(axis=0), values.mean()
    scatter = (known - centre).T @ (known - centre) + ALPHA * np.eye(known.shape[1])
    weights = np.linalg.solve(scatter, (known - centre).T @ (values - mean))
    return np.asarray(mean + (features - centre) @ weights)


def _changed(genome: Genome, gene: int, choice: int) -> Genome:
    return (*genome[:gene], choice, *genome[gene + 1 :])

"""Neighbourhoods and comparisons of genomes, shared by searchers that move from genome to genome."""

from __future__ import annotations

import numpy as np

from nasctl.api import Genome, SearchSpace


def neighbors(space: SearchSpace, rng: np.random.Generator, genome: Genome) -> list[Genome]:
    """Return all genomes that differ in one gene, in random order and not canonical."""
    different = [
        (*genome[:k], choice, *genome[k + 1 :])
        for k, gene in enumerate(space.genes)
        for choice in range(len(gene.choices))
        if choice != genome[k]
    ]
    return [different[k] for k in rng.permutation(len(different))]


def comparison_rows(losses: np.ndarray, violations: np.ndarray) -> np.ndarray:
    """Return rows by which genomes are compared: total violation, then losses.

    The total violation of a failed genome is infinite. The losses of an infeasible genome are 0.

    Args:
        losses: Losses, (N, M), NaN where an objective failed.
        violations: Constraint violations, (N, C).

    Returns:
        Rows, (N, 1 + M).
    """
    broken = violations.sum(axis=1)
    # An infeasible genome may be unmeasured on purpose, so NaN counts as a failure only for feasible genomes.
    broken = np.where(np.isnan(losses).any(axis=1) & (broken == 0), np.inf, broken)[:, None]
    return np.hstack([broken, np.where(broken > 0, 0.0, losses)])


def weakly_dominates(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return True where `first` is nowhere worse than `second`, (..., 1 + M) and (..., 1 + M) -> (...).

    A smaller total violation is better, whatever the losses are.

    Args:
        first: Rows of `comparison_rows`.
        second: Rows of `comparison_rows`.
    """
    return np.asarray((first[..., 0] < second[..., 0]) | (first <= second).all(axis=-1))

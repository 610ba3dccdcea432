"""What searches that move from genome to genome share: where they may go, and what is better."""

from __future__ import annotations

import numpy as np

from nasctl.api import Genome, SearchSpace


def neighbors(space: SearchSpace, rng: np.random.Generator, genome: Genome) -> list[Genome]:
    """All that differ from a genome in one gene, in random order; not canonical."""
    found = [
        (*genome[:k], choice, *genome[k + 1 :])
        for k, gene in enumerate(space.genes)
        for choice in range(len(gene.choices))
        if choice != genome[k]
    ]
    return [found[k] for k in rng.permutation(len(found))]


def judged(losses: np.ndarray, violations: np.ndarray) -> np.ndarray:
    """What genomes are compared by: the total violation, infinite for what failed, and the losses of what is feasible.

    Args:
        losses: (N, M), NaN where an objective failed.
        violations: (N, C).

    Returns:
        (N, 1 + M).
    """
    broken = violations.sum(axis=1)
    # What breaks a constraint may not have been measured for that reason, so it did not fail.
    broken = np.where(np.isnan(losses).any(axis=1) & (broken == 0), np.inf, broken)[:, None]
    return np.hstack([broken, np.where(broken > 0, 0.0, losses)])


def covers(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Whether `one` is nowhere worse than `other`, rows of `judged`, (..., 1 + M) and (..., 1 + M) -> (...).

    What is less infeasible is better, whatever its losses.
    """
    return np.asarray((one[..., 0] < other[..., 0]) | (one <= other).all(axis=-1))

"""The Pareto front of sums over genes, by dynamic programming.

References:
    Warburton, "Approximation of Pareto optima in multiple-objective, shortest-path problems", Operations Research 35
    (1987) 70-79, for the guarantee of boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class FrontOfSums:
    """A Pareto front of sums.

    Args:
        genomes: Choices of each gene, (F, G).
        sums: Sums of the choices' losses, (F, M), in lexicographic order.
        error: Maximum distance of a point of the true front to a found point that is nowhere worse by more, as a share
            of the range of the sums; 0 if the front is exact.
    """

    genomes: np.ndarray
    sums: np.ndarray
    error: float


def front_of_sums(tables: Sequence[np.ndarray], epsilon: float = 0.0, limit: int = 5000) -> FrontOfSums:
    """Return the genomes whose sums of losses no other genome's sums dominate, one genome per point of the front.

    Genes are added one by one. After each gene, only partial sums that no other partial sum dominates are kept. This is
    exact, because later genes add the same losses to both. Where `epsilon` allows, or more than `limit` partial sums
    remain, one partial sum is kept per box of a grid. A dropped one then differs from a kept one by at most the width
    of a box in each objective, and the widths over all genes add up to `error`.

    Args:
        tables: Losses of the choices of each gene, G arrays of (K, M).
        epsilon: Error that is allowed in any case, as a share of the range of the sums in each objective.
        limit: Maximum number of partial sums. A smaller limit is faster and raises the error.
    """
    n_objectives = tables[0].shape[1]
    span = np.sum([np.ptp(table, axis=0) for table in tables], axis=0)  # (M,)
    sums, genomes, error = np.zeros((1, n_objectives)), np.zeros((1, 0), dtype=int), 0.0
    for table in tables:
        grown = (sums[:, None] + table).reshape(-1, n_objectives)
        kept = _non_dominated(grown)
        width = epsilon / len(tables)
        boxed = _one_per_box(grown, kept, span, width)
        while len(boxed) > limit:
            width = max(2 * width, 1e-6)
            boxed = _one_per_box(grown, kept, span, width)
        error += width if len(boxed) < len(kept) else 0.0
        sums = grown[boxed]
        genomes = np.column_stack([genomes[boxed // len(table)], boxed % len(table)])
    return FrontOfSums(genomes, sums, error)


def _non_dominated(sums: np.ndarray) -> np.ndarray:
    """Return the positions of the non-dominated rows in lexicographic order, one of several equal rows, (N, M)."""
    import moocore

    kept = np.flatnonzero(moocore.is_nondominated(sums))
    return np.asarray(kept[np.lexsort(sums[kept].T[::-1])])


def _one_per_box(sums: np.ndarray, places: np.ndarray, span: np.ndarray, width: float) -> np.ndarray:
    """Return one of the positions per box of a grid.

    Args:
        sums: Sums of losses, (N, M).
        places: Positions to choose from, (P,).
        span: Range of each objective, (M,).
        width: Width of a box as a share of the range; 0 keeps all positions.
    """
    if not width:
        return places
    boxes = np.floor((sums[places] - sums[places].min(axis=0)) / np.where(span > 0, width * span, 1.0))
    _, first = np.unique(boxes, axis=0, return_index=True)
    return np.asarray(places[np.sort(first)])

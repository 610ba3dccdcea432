"""The order in which a search prefers candidates, and genomes as numbers that a model can be fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from pymoo.operators.survival.rank_and_crowding.metrics import calc_crowding_distance
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

from nasctl.api import Genome


def best_first(losses: np.ndarray, excess: np.ndarray, number: int) -> np.ndarray:
    """Positions of candidates, the best first.

    Those that hold the constraints come by front and, within a front, the least crowded first; then those that break
    constraints, the least first; last what failed.

    References:
        Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE Transactions on Evolutionary
        Computation 6 (2002) 182-197, sections III and VI.

    Args:
        losses: (N, M), every objective to be minimised; NaN where it failed.
        excess: By how much constraints are broken, (N,).
        number: How many are wanted.

    Returns:
        (min(N, number),)
    """
    excess = np.where(np.isnan(losses).any(axis=1), np.inf, excess)
    by_excess = np.argsort(excess, kind="stable")
    split = int((excess == 0).sum())
    fine = by_excess[:split]
    if losses.shape[1] == 1 or not split:
        fronts = [fine[np.argsort(losses[fine, 0], kind="stable")]]
    else:
        found = NonDominatedSorting().do(losses[fine], n_stop_if_ranked=number)
        fronts = [_spread(fine[front], losses[fine[front]]) for front in found]
    return np.concatenate([*fronts, by_excess[split:]])[:number]


def _spread(front: np.ndarray, losses: np.ndarray) -> np.ndarray:
    """A front, (F,), with the least crowded first."""
    return np.asarray(front[np.argsort(-calc_crowding_distance(losses), kind="stable")])


def one_hot(genomes: Sequence[Genome], cardinalities: np.ndarray) -> np.ndarray:
    """Genomes as zeros and ones, one column for each choice of each gene.

    Args:
        genomes: N of them.
        cardinalities: Choices of each gene, (G,).

    Returns:
        (N, sum of the cardinalities)
    """
    columns = np.array(genomes, dtype=int).reshape(-1, len(cardinalities)) + np.cumsum(cardinalities) - cardinalities
    coded = np.zeros((len(columns), int(cardinalities.sum())))
    coded[np.arange(len(columns))[:, None], columns] = 1.0
    return coded


def normal_scores(values: np.ndarray) -> np.ndarray:
    """Values by their ranks, as a sample of the normal distribution is spread; equal ones share their mean rank.

    A model of these is not bent by the few candidates that are far worse than all others.

    Args:
        values: (N,), finite.

    Returns:
        (N,), in the order of the values.
    """
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2  # 1 to N
    return np.array([NormalDist().inv_cdf(rank / (len(values) + 1)) for rank in ranks.tolist()])[places]

"""Ranking of candidates by constraints, Pareto fronts and crowding distance, and numeric encodings for models."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from pymoo.operators.survival.rank_and_crowding.metrics import calc_crowding_distance
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

from nasctl.api import Genome


def best_first(losses: np.ndarray, violations: np.ndarray, number: int) -> np.ndarray:
    """Return the positions of the best candidates, in order.

    Feasible candidates come first, by non-dominated front and then by descending crowding distance. Infeasible
    candidates follow, by ascending violation. Failed candidates come last.

    References:
        Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE Transactions on Evolutionary
        Computation 6 (2002) 182-197, sections III and VI.

    Args:
        losses: Losses to minimise, (N, M); NaN where an objective failed.
        violations: Total constraint violation of each candidate, (N,).
        number: Maximum number of positions.

    Returns:
        Positions, (min(N, number),).
    """
    violations = np.where(np.isnan(losses).any(axis=1), np.inf, violations)
    by_violation = np.argsort(violations, kind="stable")
    n_feasible = int((violations == 0).sum())
    feasible = by_violation[:n_feasible]
    if losses.shape[1] == 1 or not n_feasible:
        fronts = [feasible[np.argsort(losses[feasible, 0], kind="stable")]]
    else:
        found = NonDominatedSorting().do(losses[feasible], n_stop_if_ranked=number)
        fronts = [_least_crowded_first(feasible[front], losses[feasible[front]]) for front in found]
    return np.concatenate([*fronts, by_violation[n_feasible:]])[:number]


def _least_crowded_first(front: np.ndarray, losses: np.ndarray) -> np.ndarray:
    """Return a front, (F,), by descending crowding distance."""
    return np.asarray(front[np.argsort(-calc_crowding_distance(losses), kind="stable")])


def one_hot(genomes: Sequence[Genome], cardinalities: np.ndarray) -> np.ndarray:
    """Return genomes in one-hot encoding, with one column per choice of each gene.

    Args:
        genomes: N genomes.
        cardinalities: Number of choices of each gene, (G,).

    Returns:
        Zeros and ones, (N, sum of the cardinalities).
    """
    columns = np.array(genomes, dtype=int).reshape(-1, len(cardinalities)) + np.cumsum(cardinalities) - cardinalities
    coded = np.zeros((len(columns), int(cardinalities.sum())))
    coded[np.arange(len(columns))[:, None], columns] = 1.0
    return coded


def normal_scores(values: np.ndarray) -> np.ndarray:
    """Return values replaced by the normal quantiles of their ranks. Equal values share their mean rank.

    A few extremely bad candidates then do not distort a model fitted to these scores.

    Args:
        values: Values, (N,), finite.

    Returns:
        Scores, (N,), in the same order as the values.
    """
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2  # 1 to N
    return np.array([NormalDist().inv_cdf(rank / (len(values) + 1)) for rank in ranks.tolist()])[inverse]

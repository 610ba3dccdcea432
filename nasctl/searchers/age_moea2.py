"""AGE-MOEA-II on pymoo's operators.

References:
    Panichella, "An improved Pareto front modeling algorithm for large-scale many-objective optimization", GECCO 2022,
    565-573, doi:10.1145/3512290.3528732; and "An adaptive evolutionary algorithm based on non-Euclidean geometry for
    many-objective optimization", GECCO 2019, 595-603, doi:10.1145/3321707.3321839.
"""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
from pymoo.algorithms.base.genetic import GeneticAlgorithm
from pymoo.core.population import Population
from pymoo.core.survival import Survival
from pymoo.operators.selection.tournament import TournamentSelection
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

from nasctl.api import Problem
from nasctl.searchers._pymoo import Evolution, tournament

__all__ = ["AGEMOEA2"]

POWER_RANGE = (0.1, 20.0)  # range of the power p; a smaller fit is replaced by 1, a larger fit by the upper bound
MIN_DISTANCE = 1e-8  # lower bound of distances, in units of the scaled losses


class AGEMOEA2(Evolution):
    """A genetic algorithm that models the front as x_1^p + ... + x_M^p = 1 and keeps members near and along it.

    The survival selection is implemented here and computes the same p and the same distances as pymoo's, which needs
    numba. pymoo's selection uses them in ways that the papers do not describe: it divides distances by the proximity of
    the chosen members instead of the candidate's, scales later fronts without shifting them, and truncates the last
    front without scoring it.

    With one objective the genomes with the lowest losses survive.

    Differences from the paper: genes vary as in `nsga2`, and a network is never proposed twice.

    Args:
        problem: Search space, objectives and constraints.
        rng: Source of all randomness.
        population: Population size, which is also the number of genomes per `ask`.
    """

    def __init__(self, problem: Problem, rng: np.random.Generator, population: int = 20) -> None:
        super().__init__(problem, rng, population, _make_algorithm)


def _make_algorithm(**settings: Any) -> GeneticAlgorithm:
    selection = TournamentSelection(func_comp=_by_rank_and_score)
    return GeneticAlgorithm(
        selection=selection, survival=_GeometrySurvival(), advance_after_initial_infill=True, **settings
    )


def _by_rank_and_score(
    population: Population, pairs: np.ndarray, random_state: np.random.Generator, **kwargs: Any
) -> np.ndarray:
    """Return the better member of each pair: less violation, then a lower rank, then a higher score; see `tournament`.

    Rank and score of an infeasible member are unknown.
    """
    ranks, found = population.get("rank", "crowding")
    members = zip(population.get("CV")[:, 0].tolist(), ranks, found, strict=True)
    rows = [(excess, 0, 0.0) if excess > 0 else (0.0, rank, -score) for excess, rank, score in members]
    return tournament(rows, pairs, random_state)


class _GeometrySurvival(Survival):  # type: ignore[misc]  # pymoo has no types
    """A survival selection that keeps the first fronts, and the highest scores of the front that does not fit."""

    def _do(self, problem: Any, pop: Population, *args: Any, n_survive: int, **kwargs: Any) -> Population:
        losses = pop.get("F")  # (N, M)
        fronts = NonDominatedSorting().do(losses, n_stop_if_ranked=n_survive)
        ideal = losses[fronts[0]].min(axis=0)
        first, power, scale = scores(losses[fronts[0]] - ideal)
        kept: list[int] = []
        for rank, front in enumerate(fronts):
            score = first if rank == 0 else 1 / np.maximum(_norms((losses[front] - ideal) / scale, power), MIN_DISTANCE)
            pop[front].set("rank", rank, "crowding", score)
            kept += front[np.argsort(-score, kind="stable")].tolist()
        return pop[kept[:n_survive]]


def scores(front: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """Score the members of a front by diversity divided by proximity to the ideal point.

    Diversity is the sum of the distances to the two nearest chosen members. Proximity is the distance to the ideal
    point.

    The extremes are chosen first. The member with the largest score is then chosen, one after another.

    Args:
        front: Losses of mutually non-dominated members, minus the minimum of each objective, (A, M).

    Returns:
        Scores, (A,), infinite for the extremes; the power p of the front; the scale that losses were divided by, (M,).
    """
    extremes = _extremes(front)
    scale = _intercepts(front, extremes)
    front, result = front / scale, np.full(len(front), np.inf)
    left = np.ones(len(front), dtype=bool)
    left[extremes] = False
    if not left.any():
        return result, 1.0, scale
    power = _fit_power(front[np.where(left, np.linalg.norm(front, axis=1), np.inf).argmin()])
    norms = _norms(front, power)
    surface = front / np.where(norms > 0, norms, 1.0)[:, None]
    nearest = np.full((2, len(front)), np.inf)  # distances to the two nearest chosen members
    for k in extremes:
        nearest = _update_nearest(nearest, surface, k, power)
    while left.any():
        score = np.where(np.isinf(nearest), 0.0, nearest).sum(axis=0) / np.where(norms < MIN_DISTANCE, 1.0, norms)
        k = int(np.where(left, score, -1.0).argmax())
        result[k], left[k] = score[k], False
        nearest = _update_nearest(nearest, surface, k, power)
    return result, power, scale


def _extremes(front: np.ndarray) -> list[int]:
    """Return the position of the member nearest to each axis, without repetition, or all of at most M members."""
    if len(front) <= front.shape[1]:
        return list(range(len(front)))
    result: list[int] = []
    for axis in np.eye(front.shape[1]) + 1e-6:
        along = front @ axis / (axis @ axis)  # (A,)
        distances = np.linalg.norm(front - along[:, None] * axis, axis=1)
        distances[result] = np.inf
        result.append(int(distances.argmin()))
    return result


def _intercepts(front: np.ndarray, extremes: list[int]) -> np.ndarray:
    """Return the axis intercepts of the plane through the extremes, (M,), or the largest losses if there are none."""
    scale = front.max(axis=0)
    if len(extremes) == front.shape[1]:
        with contextlib.suppress(np.linalg.LinAlgError):
            plane = np.linalg.solve(front[extremes], np.ones(len(extremes)))
            scale = 1 / plane if (plane > 0).all() and np.isfinite(plane).all() else scale
    return np.where(scale > 0, scale, 1.0)


def _fit_power(point: np.ndarray) -> float:
    """Return the p for which the p-th powers of a point, (M,), sum to 1, or 1 if Newton's method fails."""
    logs, power = np.log(point[point > 0]), 1.0
    with np.errstate(all="ignore"):
        for _ in range(100):
            terms = np.exp(power * logs)
            step = float(np.log(terms.sum()) * terms.sum() / (terms @ logs))
            power -= step
            if abs(step) <= 0.001:
                return min(power, POWER_RANGE[1]) if power > POWER_RANGE[0] else 1.0
    return 1.0


def _norms(points: np.ndarray, power: float) -> np.ndarray:
    """Return distances from the origin in the norm whose unit sphere is the front, (A, M) -> (A,)."""
    return np.asarray((np.abs(points) ** power).sum(axis=1) ** (1 / power))


def _update_nearest(nearest: np.ndarray, surface: np.ndarray, k: int, power: float) -> np.ndarray:
    """Return the distances to the two nearest chosen members, (2, A), after the k-th member is chosen.

    The distance between two points is the length of the path over the midpoint, projected onto the surface. On a flat
    surface the path is straight.
    """
    middle = (surface + surface[k]) / 2  # (A, M)
    if not 0.95 < power < 1.05:
        norms = _norms(middle, power)
        middle /= np.where(norms > 0, norms, 1.0)[:, None]
    path_lengths = np.linalg.norm(surface - middle, axis=1) + np.linalg.norm(surface[k] - middle, axis=1)
    return np.sort(np.vstack([nearest, np.maximum(path_lengths, MIN_DISTANCE)]), axis=0)[:2]

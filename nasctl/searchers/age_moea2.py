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
from pymoo.algorithms.moo.nsga2 import binary_tournament
from pymoo.core.population import Population
from pymoo.core.survival import Survival
from pymoo.operators.selection.tournament import TournamentSelection
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

from nasctl.api import Problem
from nasctl.searchers._pymoo import Evolution

__all__ = ["AGEMOEA2"]

POWERS = (0.1, 20.0)  # that a front is modelled by; in place of what is below stands 1, above, the largest
NEAR = 1e-8  # distances are at least that


class AGEMOEA2(Evolution):
    """Genetic search that models the front as a curve x_1^p + ... + x_M^p = 1 and keeps what is near and spread on it.

    The survival is written here and finds the same p and the same distances as pymoo's, which needs numba. What pymoo's
    does with them is not in the papers: it divides distances by how near to the best the chosen are and not the
    candidate, scales what is behind the first front without shifting it, and cuts the last front unseen.

    With one objective the best survive.

    Departures from the paper: genes vary as in `nsga2`, and no network is proposed twice.

    Args:
        problem: Where to search, and for what.
        rng: Source of all randomness.
        population: Genomes kept, and proposed in one ask.
    """

    def __init__(self, problem: Problem, rng: np.random.Generator, population: int = 20) -> None:
        super().__init__(problem, rng, population, _algorithm)


def _algorithm(**settings: Any) -> GeneticAlgorithm:
    made = GeneticAlgorithm(
        selection=TournamentSelection(func_comp=binary_tournament),
        survival=_Geometry(),
        advance_after_initial_infill=True,
        **settings,
    )
    made.tournament_type = "comp_by_rank_and_crowding"  # what `binary_tournament` reads
    return made


class _Geometry(Survival):  # type: ignore[misc]  # pymoo has no types
    """Keeps the first fronts, and of the front that does not fit the genomes of the best scores."""

    def _do(self, problem: Any, pop: Population, *args: Any, n_survive: int, **kwargs: Any) -> Population:
        losses = pop.get("F")  # (N, M)
        fronts = NonDominatedSorting().do(losses, n_stop_if_ranked=n_survive)
        ideal = losses[fronts[0]].min(axis=0)
        first, power, scale = scores(losses[fronts[0]] - ideal)
        kept: list[int] = []
        for rank, front in enumerate(fronts):
            score = first if rank == 0 else 1 / np.maximum(_norms((losses[front] - ideal) / scale, power), NEAR)
            pop[front].set("rank", rank, "crowding", score)
            kept += front[np.argsort(-score, kind="stable")].tolist()
        return pop[kept[:n_survive]]


def scores(front: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """How well each of a front stands for it: the distances to the two nearest that are chosen, by its own to the best.

    The extremes are chosen first; then, one after another, the one with the largest score.

    Args:
        front: Losses that none of them dominates, less the smallest in each objective, (A, M).

    Returns:
        The scores, (A,), infinite for the extremes; the power p of the front; what its losses were divided by, (M,).
    """
    extremes = _extremes(front)
    scale = _intercepts(front, extremes)
    front, found = front / scale, np.full(len(front), np.inf)
    left = np.ones(len(front), dtype=bool)
    left[extremes] = False
    if not left.any():
        return found, 1.0, scale
    power = _power(front[np.where(left, np.linalg.norm(front, axis=1), np.inf).argmin()])
    norms = _norms(front, power)
    surface = front / np.where(norms > 0, norms, 1.0)[:, None]
    nearest = np.full((2, len(front)), np.inf)  # distances to the two nearest of the chosen
    for k in extremes:
        nearest = _nearer(nearest, surface, k, power)
    while left.any():
        score = np.where(np.isinf(nearest), 0.0, nearest).sum(axis=0) / np.where(norms < NEAR, 1.0, norms)
        k = int(np.where(left, score, -1.0).argmax())
        found[k], left[k] = score[k], False
        nearest = _nearer(nearest, surface, k, power)
    return found, power, scale


def _extremes(front: np.ndarray) -> list[int]:
    """The positions of those nearest to each axis, no one twice; all, if there are no more than axes."""
    if len(front) <= front.shape[1]:
        return list(range(len(front)))
    found: list[int] = []
    for axis in np.eye(front.shape[1]) + 1e-6:
        along = front @ axis / (axis @ axis)  # (A,)
        apart = np.linalg.norm(front - along[:, None] * axis, axis=1)
        apart[found] = np.inf
        found.append(int(apart.argmin()))
    return found


def _intercepts(front: np.ndarray, extremes: list[int]) -> np.ndarray:
    """Where the plane through the extremes meets the axes, (M,); the largest losses if it does not, or is no plane."""
    scale = front.max(axis=0)
    if len(extremes) == front.shape[1]:
        with contextlib.suppress(np.linalg.LinAlgError):
            plane = np.linalg.solve(front[extremes], np.ones(len(extremes)))
            scale = 1 / plane if (plane > 0).all() and np.isfinite(plane).all() else scale
    return np.where(scale > 0, scale, 1.0)


def _power(point: np.ndarray) -> float:
    """The p with which the powers of a point's coordinates, (M,), sum to 1; 1 if Newton's method finds none."""
    logs, power = np.log(point[point > 0]), 1.0
    with np.errstate(all="ignore"):
        for _ in range(100):
            terms = np.exp(power * logs)
            step = float(np.log(terms.sum()) * terms.sum() / (terms @ logs))
            power -= step
            if abs(step) <= 0.001:
                return min(power, POWERS[1]) if power > POWERS[0] else 1.0
    return 1.0


def _norms(points: np.ndarray, power: float) -> np.ndarray:
    """Distances from the origin where the front is the unit sphere, (A, M) -> (A,)."""
    return np.asarray((np.abs(points) ** power).sum(axis=1) ** (1 / power))


def _nearer(nearest: np.ndarray, surface: np.ndarray, k: int, power: float) -> np.ndarray:
    """The distances to the two nearest, (2, A), when the k-th of the points on the surface is chosen too.

    The way goes over the point of the surface that lies above the middle; on a flat one it is straight.
    """
    middle = (surface + surface[k]) / 2  # (A, M)
    if not 0.95 < power < 1.05:
        norms = _norms(middle, power)
        middle /= np.where(norms > 0, norms, 1.0)[:, None]
    ways = np.linalg.norm(surface - middle, axis=1) + np.linalg.norm(surface[k] - middle, axis=1)
    return np.sort(np.vstack([nearest, np.maximum(ways, NEAR)]), axis=0)[:2]

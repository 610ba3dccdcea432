"""The shortlist of a run: the candidates that are worth a training, chosen before any of them is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nasctl.analysis.run_scores import Sizes, scores_of_run
from nasctl.errors import NasctlError
from nasctl.pareto.crowding import spread
from nasctl.pareto.losses import feasible_losses, front, losses
from nasctl.problem.searcher import Evaluation, Goal
from nasctl.problem.space import Genome
from nasctl.store.run_record import RunRecord


@dataclass(frozen=True)
class Shortlist:
    """The candidates of a run that are to be trained.

    Attributes:
        candidates: The candidates, (K,): members of the front first, each rank with the best in the first objective
            first.
        costs: Costs of the candidates that the run minimises, as losses, (K, C).
        cost_names: Names of these costs, (C,).
        score: Name of the score that chose among candidates of one rank; "" for a run without one.
        front: Number of candidates on the run's front.
    """

    candidates: tuple[Evaluation, ...]
    costs: np.ndarray
    cost_names: tuple[str, ...]
    score: str
    front: int


def shortlist(record: RunRecord, visited: Sequence[Evaluation], top: int, sizes: Sizes) -> Shortlist:
    """Choose candidates of a run to train: whole non-dominated ranks, the front first, while there is room.

    Of the rank that has no room for all, half are the candidates with the best scores. The others are ranked again by
    their score and the run's costs, and whole ranks follow while there is room. Of the last of these ranks, the
    candidates with the largest crowding distances are chosen, which spreads this half over the costs.
    `perf/shortlist.py` compares this choice with others on tables of trained networks.

    Args:
        record: Record of the run.
        visited: Evaluations of the run's candidates.
        top: Number of candidates to choose; fewer if the run has fewer feasible ones.
        sizes: Known sizes of candidates, as `stored_sizes` returns them.

    Raises:
        NasctlError: The front is empty.
    """
    found = list({one.genome: one for one in visited}.values())
    points = feasible_losses(found, record.goals, record.constraints)
    feasible = np.flatnonzero(~np.isnan(points).any(axis=1))
    on_front = front(visited, record.goals, record.constraints)
    if not len(feasible):
        raise NasctlError(
            "Cannot train networks of this run: its front is empty, because no candidate holds the constraints and has"
            " every value. Search with a larger --budget, or relax the constraints."
        )
    goals = tuple(goal for goal in record.goals if goal.cost == "network" and goal.direction == "min")
    score, scores = scores_of_run(record, visited, None, sizes) or ("", {})
    chosen: list[int] = []
    for rank in _ranks(points[feasible]):
        members, room = feasible[rank], top - len(chosen)
        if len(members) > room:
            members = members[_chosen([found[k] for k in members.tolist()], goals, scores, room)]
        chosen += sorted(members.tolist(), key=lambda k: (points[k].tolist(), found[k].genome))
        if len(chosen) == top:
            break
    candidates = tuple(found[k] for k in chosen)
    names = tuple(goal.name for goal in goals)
    return Shortlist(candidates, losses(candidates, goals), names, score if scores else "", len(on_front))


def _chosen(
    found: Sequence[Evaluation], goals: Sequence[Goal], scores: Mapping[Genome, float], room: int
) -> np.ndarray:
    """Return the places of the candidates with the best scores, and of others spread over the costs, (room,)."""
    score = np.array([[-scores.get(one.genome, np.nan)] for one in found])
    known = bool(np.isfinite(score).all())
    points = np.hstack([score if known else score[:, :0], losses(found, goals)])  # (N, 1 + C)
    if not points.shape[1]:
        return np.arange(room)
    order = sorted(range(len(found)), key=lambda k: (score[k, 0], found[k].genome)) if known else []
    chosen, others = order[: (room + 1) // 2], np.array(sorted(order[(room + 1) // 2 :]) or range(len(found)))
    for rank in _ranks(points[others]):
        rows, left = others[rank], room - len(chosen)
        if len(rows) > left:
            rows = rows[spread(points[rows], left)]
        chosen += rows.tolist()
        if len(chosen) == room:
            break
    return np.array(chosen, dtype=int)


def _ranks(points: np.ndarray) -> list[np.ndarray]:
    """Return the rows of each non-dominated rank of losses, (N, M), the best rank first; rows ascend in each."""
    import moocore

    ranks = moocore.pareto_rank(points)
    return [np.flatnonzero(ranks == rank) for rank in np.unique(ranks)]


__all__ = ["Shortlist", "shortlist"]

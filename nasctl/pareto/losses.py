"""Losses made from values by direction and transform, constraint violations, and the front of evaluations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from nasctl.problem.constraints import Constraint
from nasctl.problem.searcher import Evaluation, Goal, Transform

# Functions of an array of values, by the name that an objective gives.
TRANSFORMS: Mapping[Transform, Callable[[np.ndarray], np.ndarray]] = {
    "identity": lambda s: s,
    "log10": np.log10,
    "-log10(-s)": lambda s: -np.log10(-s),
}


def feasible_losses(
    found: Sequence[Evaluation], goals: Sequence[Goal], constraints: Sequence[Constraint] = ()
) -> np.ndarray:
    """Return losses, (N, M), with NaN in the whole row of a candidate that failed or breaks a constraint."""
    seen = losses(found, goals)
    out = np.isnan(seen).any(axis=1) | (violations(found, constraints) > 0).any(axis=1)
    return np.where(out[:, None], np.nan, seen)


def losses(evaluations: Iterable[Evaluation], goals: Sequence[Goal]) -> np.ndarray:
    """Return the losses of evaluations, (N, M), all to be minimised.

    This is the only function that applies directions and transforms. A loss is NaN if the objective failed, or has a
    value for which its transform is not defined.
    """
    rows = [[e.values.get(goal.name, math.nan) for goal in goals] for e in evaluations]
    matrix = np.array(rows, dtype=float).reshape(len(rows), len(goals))
    with np.errstate(divide="ignore", invalid="ignore"):
        for column, goal in zip(matrix.T, goals, strict=True):
            seen = TRANSFORMS[goal.transform](column)
            column[:] = seen if goal.direction == "min" else -seen
    return np.where(np.isfinite(matrix), matrix, math.nan)


def violations(evaluations: Sequence[Evaluation], constraints: Sequence[Constraint]) -> np.ndarray:
    """Return the violation of each constraint, (N, C), as `Constraint.violation` defines it."""
    rows = [[constraint.violation(e.values) for constraint in constraints] for e in evaluations]
    return np.array(rows, dtype=float).reshape(len(evaluations), len(constraints))


def front(
    evaluations: Iterable[Evaluation], goals: Sequence[Goal], constraints: Sequence[Constraint] = ()
) -> list[Evaluation]:
    """Return the non-dominated evaluations, the best in the first objective first.

    Evaluations that failed in an objective or break a constraint are left out.
    """
    from moocore import is_nondominated

    found = list({e.genome: e for e in evaluations if not e.errors.keys() & {goal.name for goal in goals}}.values())
    rows = losses(found, goals)
    out = np.isnan(rows).any(axis=1) | (violations(found, constraints) > 0).any(axis=1)  # (N,)
    (places,) = np.nonzero(~out)
    best = places[is_nondominated(rows[places], keep_weakly=True)] if goals else places
    ranked = sorted((rows[k].tolist(), found[k].genome, k) for k in best.tolist())
    return [found[k] for *_, k in ranked]

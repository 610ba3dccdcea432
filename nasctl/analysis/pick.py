"""The choice of one network of a front by a rule that a person can state."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from nasctl.analysis.recommendation import recommend
from nasctl.errors import NasctlError, UnknownName
from nasctl.pareto.archive import closest_to_ideal
from nasctl.pareto.knee import knee
from nasctl.pareto.losses import front, losses
from nasctl.problem.constraints import FACTORS, Constraint, parse
from nasctl.problem.searcher import Evaluation, Goal
from nasctl.search.metrics import make_objective
from nasctl.store.run_record import RunRecord
from nasctl.store.store import Store

# A wished value, such as "latency@gpu=20" or "params=4M".
WISH = re.compile(r"([\w.@/:-]+)=([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)([kMG]?)", re.IGNORECASE)
# A tolerance, such as "5%".
PERCENT = re.compile(r"(\d+(?:\.\d+)?)%")


@dataclass(frozen=True)
class Pick:
    """The chosen network, and the reason."""

    chosen: Evaluation
    front: int  # networks on the front
    why: str  # the rule, in words


# A rule takes a run's record and a front that is not empty, and returns the chosen place of the front and the reason.
Rule = Callable[[RunRecord, Sequence[Evaluation]], tuple[int, str]]


def pick(record: RunRecord, visited: Sequence[Evaluation], rule: Rule, under: Sequence[str] = ()) -> Pick:
    """Choose a network from the front of a run.

    Args:
        record: Record of the run.
        visited: Evaluations of the run's candidates.
        rule: `by_closest`, `by_knee`, or a result of `by_best`, `by_order` or `by_wish`.
        under: Further constraints. The front is made of the candidates that satisfy them.

    Raises:
        NasctlError: A constraint or the rule does not fit the run, or no candidate is left.
    """
    further = tuple(_constraint(text, record) for given in under for text in given.split(","))
    found = front(visited, record.goals, (*record.constraints, *further))
    if not found:
        raise NasctlError(_empty(record, visited, further))
    index, why = rule(record, found)
    bounds = f", among those with {' and '.join(map(record.bound_text, further))}" if further else ""
    return Pick(found[index], len(found), why + bounds)


def recommended(
    store: Store, run: str, record: RunRecord, visited: Sequence[Evaluation], under: Sequence[str] = ()
) -> Pick:
    """Return the network that is recommended for a run; see `recommend`.

    Args:
        store: The store of the run.
        run: Name of the run.
        record: Record of the run.
        visited: Evaluations of the run's candidates.
        under: Further constraints.

    Raises:
        NasctlError: A constraint does not fit the run, or no candidate is left.
    """
    further = tuple(_constraint(text, record) for given in under for text in given.split(","))
    found = recommend(store, run, record, visited, under=further)
    if found is None:
        raise NasctlError(_empty(record, visited, further))
    return Pick(found.chosen, found.front, found.reason)


def by_closest(record: RunRecord, found: Sequence[Evaluation]) -> tuple[int, str]:
    """Choose the network closest to the best of every objective, each scaled to its range on the front."""
    why = "nearest to the best of every objective, each scaled to its range on the front"
    return closest_to_ideal(losses(found, record.goals)), why


def by_knee(record: RunRecord, found: Sequence[Evaluation]) -> tuple[int, str]:
    """Choose the knee of the front; of a front without one, the network closest to the best of every objective."""
    row = knee(losses(found, record.goals))
    if row is None:
        closest, why = by_closest(record, found)
        return closest, f"{why} (the front has no knee)"
    return row, "the knee: it gains most over an even trade of one objective for another, each scaled to its range"


def by_best(name: str) -> Rule:
    """Return the rule that chooses the best network in the objective of a name."""

    def rule(record: RunRecord, found: Sequence[Evaluation]) -> tuple[int, str]:
        goal = _goal(name, record)
        return int(_column(found, goal).argmin()), f"best in {goal.name}"

    return rule


def by_order(texts: Sequence[str], tolerance: str) -> Rule:
    """Return the lexicographic rule: the best in the first objective, among the best the best in the second, and so on.

    Args:
        texts: Names of objectives, or several separated by commas, the most important first.
        tolerance: Distance from the best value within which a network counts among the best, in per cent of the
            objective's range on the front, such as "5%".

    Raises:
        NasctlError: The tolerance is no percentage.
    """
    match = PERCENT.fullmatch(tolerance.strip())
    if not match:
        raise NasctlError(f"{tolerance!r} is no tolerance; write per cent of an objective's range, such as 5%")
    share = float(match[1]) / 100

    def rule(record: RunRecord, found: Sequence[Evaluation]) -> tuple[int, str]:
        goals = [_goal(name, record) for text in texts for name in text.split(",")]
        kept, counts = np.arange(len(found)), []
        for goal in goals:
            column = _column(found, goal)
            reach = float(np.ptp(column[np.isfinite(column)]))
            nearest = column[kept].min()
            last = goal is goals[-1]
            # A little more than the tolerance, so that rounding errors exclude no network at its edge.
            kept = kept[column[kept] <= nearest + (0 if last else share * reach * (1 + 1e-9))]
            counts.append(f"{goal.name} ({len(kept)} left)")
        within = f", each to within {tolerance.strip()} of its range on the front" if share else ""
        return int(kept[0]), f"best in {', then '.join(counts)}{within}"

    return rule


def by_wish(texts: Sequence[str]) -> Rule:
    """Return the rule that chooses the network nearest to wished values, whether better or worse.

    Each objective is scaled to its range on the front. If searchers see the logarithm of an objective, distances are
    differences of logarithms.

    Args:
        texts: Wishes such as "latency@gpu=20", or several separated by commas.

    Raises:
        NasctlError: A text is no wish.
    """
    wishes = [_wish(text) for given in texts for text in given.split(",")]

    def rule(record: RunRecord, found: Sequence[Evaluation]) -> tuple[int, str]:
        goals = [_goal(name, record) for name, _ in wishes]
        if len({goal.name for goal in goals}) < len(goals):
            raise NasctlError("a wish names something twice; leave one out")
        wished = losses([Evaluation((), {g.name: w for g, (_, w) in zip(goals, wishes, strict=True)})], goals)
        for goal, value in zip(goals, wished[0], strict=True):
            if math.isnan(value):
                raise NasctlError(f"{goal.name} cannot have the value that is wished; see `nasctl pareto show`")
        columns = np.stack([_column(found, goal) for goal in goals], axis=1)  # (A, K)
        known = columns[np.isfinite(columns).all(axis=1)]
        if not len(known):
            raise NasctlError("no network of the front has a value of everything that is wished; wish for less")
        reach = np.ptp(known, axis=0)
        distances = np.linalg.norm((columns - wished) / np.where(reach > 0, reach, 1.0), axis=1)
        index = int(distances.argmin())
        away = f"{distances[index]:.3g} away, each scaled to its range on the front"
        return index, f"nearest to {', '.join(texts)}: {away}"

    return rule


def _wish(text: str) -> tuple[str, float]:
    """Return the name of an objective and its wished value."""
    match = WISH.fullmatch(text.strip())
    if not match:
        raise NasctlError(f"{text!r} is no wish; write one such as latency=20 or params=4M")
    return match[1], float(match[2]) * FACTORS[match[3].lower()]


def _constraint(text: str, record: RunRecord) -> Constraint:
    """Return the constraint that a text states about an objective of a run."""

    def refused(name: str) -> float:
        raise NasctlError(f"a percentage of {name} is not known here; write {text!r} with a number")

    return parse(text, list(record.columns), refused, {name: one.unit for name, one in record.columns.items()})


def _goal(name: str, record: RunRecord) -> Goal:
    """Return the objective of a run that has a name; "latency" means "latency@DEVICE" if the run has one device."""
    name = name.strip()
    full = columns_called(name, record)
    if not full:
        raise UnknownName("objective of this run", name, list(record.columns))
    if len(full) > 1:
        raise NasctlError(f"{name!r} may be {' or '.join(full)}; say which")
    column = record.columns[full[0]]
    if column.goal:
        return column.goal
    metric = make_objective(full[0], record.space)[1]  # the run only records it, and does not know its direction
    return Goal(full[0], metric.direction, metric.transform, column.cost)


def columns_called(name: str, record: RunRecord) -> list[str]:
    """Return the columns of a run that a name may mean."""
    return [one for one in record.columns if name.replace("-", "_") in (one.replace("-", "_"), one.partition("@")[0])]


def _column(found: Sequence[Evaluation], goal: Goal) -> np.ndarray:
    """Return the losses in one objective, (A,); infinite where it failed.

    Raises:
        NasctlError: The objective failed for every network.
    """
    column = losses(found, [goal])[:, 0]
    if np.isnan(column).all():
        raise NasctlError(f"no network of the front has a value of {goal.name}; choose by something else")
    return np.where(np.isnan(column), np.inf, column)


def _empty(record: RunRecord, visited: Sequence[Evaluation], further: Sequence[Constraint]) -> str:
    """Return the reason why no candidate is left, and the remedy."""
    whole = front(visited, record.goals, record.constraints)
    if not whole:
        return "the front of this run is empty; search with a larger --budget, or relax its constraints"
    for constraint in further:
        values = [one.values[constraint.name] for one in visited if constraint.name in one.values]
        if values and all(constraint.violation({constraint.name: value}) for value in values):
            nearest = min(values) if constraint.upper else max(values)
            word = "least" if constraint.upper else "most"
            amount = f"{nearest:.6g} {record.columns[constraint.name].unit}".strip()
            return (
                f"no candidate holds {record.bound_text(constraint)}: the {word} of the run is {amount}; relax --under"
            )
    bounds = " and ".join(map(record.bound_text, further))
    return f"no candidate holds {bounds} at once; relax --under, or search with them"

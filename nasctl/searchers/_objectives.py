"""Costs and natural values of objectives, shared by searchers that treat a cost unlike the other objectives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nasctl.api import BadOption, Goal


def chosen_cost(objectives: Sequence[Goal], name: str, searcher: str) -> int:
    """Return the position of the objective that is the cost.

    Args:
        objectives: Objectives of the problem, (M,).
        name: Name of the objective, such as "macs", or "latency" for the only "latency@DEVICE". "" selects the first
            objective that needs no module, or the last objective if all need one.
        searcher: Name of the searcher, for the message.

    Raises:
        BadOption: The search has no objective of that name, or several.
    """
    if not name:
        cheap = [k for k, goal in enumerate(objectives) if goal.cost == "network"]
        return cheap[0] if cheap else len(objectives) - 1
    spelled = name.replace("-", "_")
    for key in (str, lambda one: one.partition("@")[0]):
        found = [k for k, goal in enumerate(objectives) if key(goal.name).replace("-", "_") == spelled]
        if len(found) == 1:
            return found[0]
    names = ", ".join(goal.name for goal in objectives)
    raise BadOption(f"cost must name one objective of the search ({names}), got {name!r} (option of {searcher})")


def natural_values(losses: np.ndarray, goal: Goal) -> np.ndarray:
    """Return the values of an objective from its losses, (N,) -> (N,)."""
    seen = losses if goal.direction == "min" else -losses
    if goal.transform == "log10":
        return np.asarray(10.0**seen)
    return np.asarray(-(10.0**-seen) if goal.transform == "-log10(-s)" else seen)

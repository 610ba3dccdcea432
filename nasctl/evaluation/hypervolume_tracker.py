"""The hypervolume of a run's fronts, normalised by ranges that are fixed when the run starts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nasctl.evaluation.ranges import bounds
from nasctl.evaluation.task import Task
from nasctl.pareto.hypervolume_scale import Scale
from nasctl.pareto.losses import losses
from nasctl.problem.searcher import Evaluation, Goal


class HypervolumeTracker:
    """Measures the hypervolume of a front against bounds that are fixed when the run starts.

    A column that is arithmetic on the network is scaled by its range over the space, one that needs a module by its
    range in the first generation; the reference point lies at 1.05 of each range (lower is better). So a front can
    exceed 1.05 to the power of the objectives, where it betters what the first generation had.

    Args:
        task: What is searched.
    """

    def __init__(self, task: Task) -> None:
        self._goals = task.objectives
        self._best, self._worst = dict[str, float](), dict[str, float]()
        for reach in filter(None, (_reach(task, goal) for goal in self._goals)):
            self._best |= reach.best
            self._worst |= reach.worst
        known = len(self._best) == len(self._goals)
        self.scale = Scale(self._goals, self._best, self._worst) if known else None  # None before `start`

    def start(self, first: Sequence[Evaluation]) -> None:
        """Fix the ranges of what needs a module, by the first generation; a second call changes nothing."""
        if self.scale is None and (seen := Scale.of(first, self._goals)):
            self.scale = Scale(self._goals, {**seen.best, **self._best}, {**seen.worst, **self._worst})

    def volume(self, front: np.ndarray) -> float | None:
        """The hypervolume of a front's losses, (A, M); None before `start`, and of an empty front."""
        return self.scale.volume(front) if self.scale and len(front) else None


def _reach(task: Task, goal: Goal) -> Scale | None:
    """The range of an objective over the space; None if it needs a module, or has no value at an end."""
    if goal.cost != "network":
        return None
    found = bounds(task.space, task.metrics[goal.name], task.setting, exhaust=False)
    ends = [Evaluation((), {goal.name: value}) for value in (found.least, found.most)]
    return None if np.isnan(losses(ends, [goal])).any() else Scale.of(ends, [goal])

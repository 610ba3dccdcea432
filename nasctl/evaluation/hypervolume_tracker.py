"""The hypervolume of a running search, scaled by ranges that do not change during the run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nasctl.evaluation.ranges import bounds
from nasctl.evaluation.task import Task
from nasctl.pareto.hypervolume_scale import Scale
from nasctl.pareto.losses import losses
from nasctl.problem.searcher import Evaluation, Goal


class HypervolumeTracker:
    """Computes the hypervolume of the fronts of a run on one scale.

    An objective that needs no module is scaled by its range over the space, an objective that needs one by its range
    in the first generation. The reference point lies at 1.05 of each range. A front can have better values than the
    first generation; `share` then measures it by an ideal box that reaches as far.

    Args:
        task: The task of the run.

    Attributes:
        scale: The scale of the hypervolume; None as long as it lacks the range of an objective.
    """

    def __init__(self, task: Task) -> None:
        self._goals = task.objectives
        self._best, self._worst = dict[str, float](), dict[str, float]()
        for known in filter(None, (_known_range(task, goal) for goal in self._goals)):
            self._best |= known.best
            self._worst |= known.worst
        complete = len(self._best) == len(self._goals)
        self.scale = Scale(self._goals, self._best, self._worst) if complete else None

    def start(self, first: Sequence[Evaluation]) -> None:
        """Set the missing ranges from the first generation.

        A later call changes nothing, and so does a generation in which an objective has no value.
        """
        if self.scale is None and (seen := Scale.of(first, self._goals)):
            self.scale = Scale(self._goals, {**seen.best, **self._best}, {**seen.worst, **self._worst})

    def volume(self, front: np.ndarray) -> float | None:
        """Return the hypervolume of a front's losses, (A, M); None without a scale, and for an empty front."""
        return self.scale.volume(front) if self.scale and len(front) else None

    def share(self, front: np.ndarray) -> float | None:
        """Return `volume` as a share of the ideal box, 0 to 1; None without a scale, and for an empty front."""
        return self.scale.share(front) if self.scale and len(front) else None


def _known_range(task: Task, goal: Goal) -> Scale | None:
    """Return the range of one objective over the space; None if it needs a module, or has no loss at an end."""
    if goal.cost != "network":
        return None
    found = bounds(task.space, task.metrics[goal.name], task.setting, exhaust=False)
    ends = [Evaluation((), {goal.name: value}) for value in (found.least, found.most)]
    return None if np.isnan(losses(ends, [goal])).any() else Scale.of(ends, [goal])

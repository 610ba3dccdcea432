"""How good a front is, as one number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nasctl.archive import Archive
from nasctl.bounds import bounds
from nasctl.constraints import Constraint
from nasctl.search import Task, losses, violations
from nasctl.values import Evaluation, Goal

REFERENCE = 1.05  # of the hypervolume, in each objective as a share of its range


@dataclass(frozen=True)
class Scale:
    """What counts as 0 and as 1 in each objective, and so what a hypervolume is a share of.

    Args:
        goals: What is optimised, (M,).
        best: By name, the value that stands for 0, in natural units.
        worst: By name, the value that stands for 1.
    """

    goals: tuple[Goal, ...]
    best: Mapping[str, float]
    worst: Mapping[str, float]

    @classmethod
    def of(cls, found: Sequence[Evaluation], goals: Sequence[Goal]) -> Scale | None:
        """From the best to the worst that was found in each objective; None where one has no value at all."""
        seen = losses(found, goals)
        if not len(found) or np.isnan(seen).all(axis=0).any():
            return None
        ends = [
            {goal.name: found[k].values[goal.name] for goal, k in zip(goals, rows, strict=True)}
            for rows in (np.nanargmin(seen, axis=0), np.nanargmax(seen, axis=0))
        ]
        return cls(tuple(goals), *ends)

    @cached_property
    def ends(self) -> np.ndarray:
        """The losses that stand for 0 and for 1, (2, M)."""
        return losses([Evaluation((), dict(self.best)), Evaluation((), dict(self.worst))], self.goals)

    def volume(self, front: np.ndarray) -> float:
        """The hypervolume of a front's losses, (A, M), up to REFERENCE in each objective; 0 of an empty one."""
        if not len(front):
            return 0.0
        from pymoo.indicators.hv import HV

        least, most = self.ends
        scaled = (front - least) / np.where(most > least, most - least, 1.0)
        return float(HV(ref_point=np.full(front.shape[1], REFERENCE))(scaled))

    def curve(self, points: np.ndarray, checkpoints: Sequence[int]) -> list[float]:
        """The hypervolume of what was non-dominated after so many evaluations.

        Args:
            points: Losses in the order of evaluation, (N, M); NaN in the row of one that cannot be on a front.
            checkpoints: Numbers of evaluations, ascending, N at most.
        """
        archive, volumes, done = Archive(points.shape[1]), list[float](), 0
        for count in checkpoints:
            for k in range(done, count):
                if not np.isnan(points[k]).any():
                    archive.add((k,), points[k])
            done = count
            volumes.append(self.volume(archive.losses))
        return volumes


class Ruler:
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


def checkpoints(total: int, number: int) -> list[int]:
    """So many numbers of evaluations at equal distances, the last of them the total."""
    return sorted({-(-total * k // number) for k in range(1, number + 1)})


def standing(found: Sequence[Evaluation], goals: Sequence[Goal], constraints: Sequence[Constraint] = ()) -> np.ndarray:
    """Losses, (N, M), with NaN in the whole row of what cannot be on a front: it failed or breaks a constraint."""
    seen = losses(found, goals)
    out = np.isnan(seen).any(axis=1) | (violations(found, constraints) > 0).any(axis=1)
    return np.where(out[:, None], np.nan, seen)


def _reach(task: Task, goal: Goal) -> Scale | None:
    """The range of an objective over the space; None if it needs a module, or has no value at an end."""
    if goal.cost != "network":
        return None
    found = bounds(task.space, task.metrics[goal.name], task.setting, exhaust=False)
    ends = [Evaluation((), {goal.name: value}) for value in (found.least, found.most)]
    return None if np.isnan(losses(ends, [goal])).any() else Scale.of(ends, [goal])

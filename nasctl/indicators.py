"""How good a front is, as one number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nasctl.bounds import bounds
from nasctl.search import Task, losses
from nasctl.values import Evaluation

REFERENCE = 1.05  # of the hypervolume, in each objective as a share of its range


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
        self._cheap = np.array([goal.cost == "network" for goal in self._goals])  # (M,)
        cheap = [goal for goal in self._goals if goal.cost == "network"]
        reach = {goal.name: bounds(task.space, task.metrics[goal.name], task.setting, exhaust=False) for goal in cheap}
        ends = [{name: getattr(found, end) for name, found in reach.items()} for end in ("least", "most")]
        self._reach = np.zeros((2, len(self._goals)))
        self._reach[:, self._cheap] = _range(losses([Evaluation((), values) for values in ends], cheap))
        self._range = self._reach if self._cheap.all() and not np.isnan(self._reach).any() else None

    def start(self, first: Sequence[Evaluation]) -> None:
        """Fix the ranges of what needs a module, by the first generation; a second call changes nothing."""
        seen = losses(first, self._goals)
        if self._range is None and not np.isnan(seen).all(axis=0).any():
            self._range = np.where(self._cheap & ~np.isnan(self._reach).any(axis=0), self._reach, _range(seen))

    def volume(self, front: np.ndarray) -> float | None:
        """The hypervolume of a front's losses, (A, M); None before `start`."""
        if self._range is None or not len(front):
            return None
        from pymoo.indicators.hv import HV

        least, most = self._range
        scaled = (front - least) / np.where(most > least, most - least, 1.0)
        return float(HV(ref_point=np.full(front.shape[1], REFERENCE))(scaled))


def _range(losses: np.ndarray) -> np.ndarray:
    """The least and the most of each column, (N, M) -> (2, M)."""
    return np.stack([np.fmin.reduce(losses), np.fmax.reduce(losses)])

"""How good a front is, as one number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nasctl.pareto.archive import Archive
from nasctl.pareto.losses import losses
from nasctl.problem.searcher import Evaluation, Goal


def pareto(points: np.ndarray) -> np.ndarray:
    """Those of some points that none dominates, (K, M) -> (F, M), each once."""
    import moocore

    found: np.ndarray = moocore.filter_dominated(points)
    return found


def hypervolume(points: np.ndarray) -> float:
    """Of points to be minimised, (K, M), with the reference at 1.05 in each; not divided by anything."""
    import moocore

    return float(moocore.hypervolume(points, ref=np.full(points.shape[1], REFERENCE)))


def scaled(values: np.ndarray) -> np.ndarray:
    """Values from their least to their most as 0 to 1."""
    found: np.ndarray = (values - values.min()) / np.ptp(values)
    return found


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
        least, most = self.ends
        return hypervolume((front - least) / np.where(most > least, most - least, 1.0))

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


def checkpoints(total: int, number: int) -> list[int]:
    """So many numbers of evaluations at equal distances, the last of them the total."""
    return sorted({-(-total * k // number) for k in range(1, number + 1)})

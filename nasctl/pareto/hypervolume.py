"""The hypervolume of a front on a scale, and its growth over the evaluations of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nasctl.pareto.archive import Archive
from nasctl.pareto.losses import losses
from nasctl.problem.searcher import Evaluation, Goal

# The reference point of the hypervolume, in each objective as a share of its range.
REFERENCE = 1.05


def pareto(points: np.ndarray) -> np.ndarray:
    """Return the distinct non-dominated points, (K, M) -> (F, M); all objectives are minimised."""
    import moocore

    found: np.ndarray = moocore.filter_dominated(points)
    return found


def hypervolume(points: np.ndarray) -> float:
    """Return the hypervolume of points to be minimised, (K, M), with `REFERENCE` in each objective; not normalised."""
    import moocore

    return float(moocore.hypervolume(points, ref=np.full(points.shape[1], REFERENCE)))


def scaled(values: np.ndarray) -> np.ndarray:
    """Return values scaled from their range to [0, 1]."""
    found: np.ndarray = (values - values.min()) / np.ptp(values)
    return found


@dataclass(frozen=True)
class Scale:
    """The values that count as 0 and as 1 in each objective of a hypervolume.

    Args:
        goals: The objectives that are optimised, (M,).
        best: The value that counts as 0, by objective, in natural units.
        worst: The value that counts as 1, by objective, in natural units.
    """

    goals: tuple[Goal, ...]
    best: Mapping[str, float]
    worst: Mapping[str, float]

    @classmethod
    def of(cls, found: Sequence[Evaluation], goals: Sequence[Goal]) -> Scale | None:
        """Return the scale from the best to the worst value of each objective; None if an objective has no value."""
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
        """The losses that count as 0 and as 1, (2, M)."""
        return losses([Evaluation((), dict(self.best)), Evaluation((), dict(self.worst))], self.goals)

    def volume(self, front: np.ndarray) -> float:
        """Return the hypervolume of a front, given its losses, (A, M); 0 for an empty front."""
        if not len(front):
            return 0.0
        least, most = self.ends
        return hypervolume((front - least) / np.where(most > least, most - least, 1.0))

    def curve(self, points: np.ndarray, checkpoints: Sequence[int]) -> list[float]:
        """Return the hypervolume of the archive after given numbers of evaluations.

        Args:
            points: Losses in the order of evaluation, (N, M); a row with NaN enters no archive.
            checkpoints: Numbers of evaluations, ascending, at most N.
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
    """Return at most `number` numbers of evaluations at equal distances, ascending; the last is the total."""
    return sorted({-(-total * k // number) for k in range(1, number + 1)})

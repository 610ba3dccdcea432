"""The scale of hypervolume: what counts as 0 and as 1 in each objective, and the reference point."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nasctl.pareto.archive import Archive
from nasctl.pareto.hypervolume import REFERENCE, hypervolume
from nasctl.pareto.losses import losses
from nasctl.problem.searcher import Evaluation, Goal


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

    def share(self, front: np.ndarray) -> float:
        """Return the hypervolume of a front, (A, M), as a share of the ideal box, 0 to 1; see `shares`."""
        return self.shares([front])[0]

    def shares(self, fronts: Sequence[np.ndarray]) -> list[float]:
        """Return the hypervolumes of fronts, (A, M) each, as shares of one ideal box, 0 to 1.

        The ideal box lies between the reference point and the ideal point: the best value of each objective, of the
        scale or of these fronts, whichever is better. No front can fill more than the box, because none is better than
        the ideal point in any objective.
        """
        found = [front for front in fronts if len(front)]
        if not found:
            return [0.0] * len(fronts)
        least, most = self.ends
        ideal = np.vstack([least, *found]).min(axis=0)
        span = np.where(most > ideal, most - ideal, 1.0)
        box = REFERENCE ** len(ideal)
        volumes = [hypervolume((front - ideal) / span) / box if len(front) else 0.0 for front in fronts]
        return [min(1.0, volume) for volume in volumes]  # rounding errors may exceed 1 by a last digit

    def curve(self, points: np.ndarray, checkpoints: Sequence[int]) -> list[float]:
        """Return the hypervolume of the archive after given numbers of evaluations.

        Args:
            points: Losses in the order of evaluation, (N, M); a row with NaN enters no archive.
            checkpoints: Numbers of evaluations, ascending, at most N.
        """
        return [self.volume(front) for front in fronts_at(points, checkpoints)]


def fronts_at(points: np.ndarray, checkpoints: Sequence[int]) -> Iterator[np.ndarray]:
    """Yield the losses of the archive, (A, M), after given numbers of evaluations.

    Args:
        points: Losses in the order of evaluation, (N, M); a row with NaN enters no archive.
        checkpoints: Numbers of evaluations, ascending, at most N.
    """
    archive, done = Archive(points.shape[1]), 0
    for count in checkpoints:
        for k in range(done, count):
            if not np.isnan(points[k]).any():
                archive.add((k,), points[k])
        done = count
        yield archive.losses

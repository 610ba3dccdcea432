"""What a tabular benchmark is made of, and the problem that a searcher is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from nasctl.pareto.hypervolume import hypervolume, pareto
from nasctl.pareto.losses import TRANSFORMS
from nasctl.problem.searcher import Goal
from nasctl.problem.space import Genome, SearchSpace


@dataclass(frozen=True, slots=True)
class TabulatedObjective:
    """What a search may see of every architecture of a benchmark.

    Args:
        goal: As searchers know it.
        values: In natural units, (N,); NaN where it failed.
        seconds: That it takes to find a value out, (N,) or the same for all; simulated cost.
    """

    goal: Goal
    values: np.ndarray
    seconds: np.ndarray | float = 0.0

    @property
    def losses(self) -> np.ndarray:
        """To be minimised, (N,), NaN where it failed or its transform is not defined."""
        with np.errstate(divide="ignore", invalid="ignore"):
            seen = TRANSFORMS[self.goal.transform](self.values)
        losses = seen if self.goal.direction == "min" else -seen
        return np.where(np.isfinite(losses), losses, np.nan)


@dataclass(frozen=True)
class Scene:
    """What architectures are judged by: a data set or a task, which no search sees.

    Args:
        error: To be minimised, (N,); a fraction, or scaled to 0 to 1 where the task has no such error.
        cost: Complexity, scaled to 0 to 1 over the whole space, (N,).
        accuracy: What `best` is the largest of, (N,); in the unit of the source.
        points: Error and cost of all that the true front is taken of, (K, 2); of these architectures if not given.
    """

    error: np.ndarray
    cost: np.ndarray
    accuracy: np.ndarray
    points: np.ndarray | None = None

    @cached_property
    def front(self) -> np.ndarray:
        """The true front, (F, 2)."""
        whole = np.column_stack([self.error, self.cost]) if self.points is None else self.points
        return pareto(whole)

    @cached_property
    def ceiling(self) -> float:
        """Its hypervolume, which nothing may exceed."""
        return hypervolume(self.front)


class Benchmark(Protocol):
    """A module of `nasctl.benchmarks` binds one such class in `__all__`; it is made with options, as spaces are."""

    space: SearchSpace
    genomes: Sequence[Genome]  # (N,), all that are asked for, canonical
    scenes: Mapping[str, Scene]
    usual: Sequence[str]  # objectives, if a person names none
    evaluations: int  # of a run, if a person does not say
    source: str  # of what architectures are judged by

    @property
    def names(self) -> list[str]:
        """Of the columns."""
        ...

    def column(self, name: str) -> TabulatedObjective:
        """One of them.

        Raises:
            UnknownName: There is none of that name.
        """
        ...

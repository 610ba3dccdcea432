"""The protocol of tabular benchmarks, and what a benchmark is made of."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from nasctl.errors import NasctlError, RenamedWarning
from nasctl.pareto.hypervolume import hypervolume, pareto
from nasctl.pareto.losses import TRANSFORMS
from nasctl.problem.searcher import Goal
from nasctl.problem.space import Genome, SearchSpace


@dataclass(frozen=True, slots=True)
class TabulatedObjective:
    """Values of one objective for every architecture of a benchmark. A search may see them.

    Args:
        goal: The objective as searchers know it.
        values: Values in natural units, (N,); NaN where the objective failed.
        seconds: Simulated cost of measuring a value, (N,) or one number for all architectures.
    """

    goal: Goal
    values: np.ndarray
    seconds: np.ndarray | float = 0.0

    @property
    def losses(self) -> np.ndarray:
        """Return losses to minimise, (N,), NaN where the objective failed or its transform is undefined."""
        with np.errstate(divide="ignore", invalid="ignore"):
            seen = TRANSFORMS[self.goal.transform](self.values)
        losses = seen if self.goal.direction == "min" else -seen
        return np.where(np.isfinite(losses), losses, np.nan)


@dataclass(frozen=True)
class Scene:
    """The results of trained architectures on one data set or task, by which searches are judged.

    No searcher sees them.

    Args:
        error: Error to minimise, (N,): a fraction, or scaled to 0 to 1 where the task has no such error.
        cost: Complexity, scaled to 0 to 1 over the whole space, (N,).
        accuracy: Accuracy in the unit of the source, (N,). The indicator `best` is its maximum.
        points: Error and cost of all architectures that the true front is computed from, (K, 2); by default those of
            the N architectures.
    """

    error: np.ndarray
    cost: np.ndarray
    accuracy: np.ndarray
    points: np.ndarray | None = None

    @cached_property
    def front(self) -> np.ndarray:
        """Return the true front, (F, 2)."""
        whole = np.column_stack([self.error, self.cost]) if self.points is None else self.points
        return pareto(whole)

    @cached_property
    def ceiling(self) -> float:
        """Return the hypervolume of the true front, which no archive can exceed."""
        return hypervolume(self.front)


@dataclass(frozen=True)
class TrainingTable:
    """Results of training every architecture of a benchmark on one data set or task.

    Args:
        labels: Validation result of a training, (N,), higher is better. A search may see the label of an architecture
            that it trains.
        seconds: Seconds of a training, (N,), or one number for all architectures; NaN where the source has none.
        test: Test results, by which the trained architectures are judged. No search sees its errors and accuracies.
        about: Sentence about the origin of labels, seconds and test results, for people.
    """

    labels: np.ndarray
    seconds: np.ndarray | float
    test: Scene
    about: str


class Benchmark(Protocol):
    """A table of trained architectures on which searches are replayed.

    A module of `nasctl.benchmarks` binds one such class in `__all__`. The class is created with options, as spaces are.
    """

    space: SearchSpace
    genomes: Sequence[Genome]  # all architectures that can be asked for, (N,), canonical
    scenes: Mapping[str, Scene]
    default_objectives: Sequence[str]  # names of columns; nasctl 0.1 called this attribute `usual`
    evaluations: int  # default number of evaluations of a run
    source: str  # source of the scenes, for people

    @property
    def names(self) -> list[str]:
        """Return the names of the columns."""
        ...

    def column(self, name: str) -> TabulatedObjective:
        """Return a column by its name.

        Raises:
            UnknownName: There is no column of that name.
        """
        ...


@runtime_checkable
class HasTrainings(Protocol):
    """A benchmark whose table has a validation result of every architecture, so that trainings can be replayed."""

    @property
    def trainings(self) -> Mapping[str, TrainingTable]:
        """The trainings by the name of the data set or task."""
        ...


def default_objectives(benchmark: type[Any]) -> list[str]:
    """Return the default objectives of a class of benchmarks, and warn if the class calls them `usual`.

    Raises:
        NasctlError: The class names none.
    """
    for kind in benchmark.__mro__:
        if "default_objectives" in vars(kind):
            return list(benchmark.default_objectives)
        if "usual" in vars(kind):
            name = benchmark.__name__
            warnings.warn(f"rename {name}.usual to {name}.default_objectives", RenamedWarning, 2)
            return list(benchmark.usual)
    raise NasctlError(f"the benchmark {benchmark.__name__} names no default_objectives; add them to its class")


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Return `TabulatedObjective` under the name that it had in nasctl 0.1, with a warning."""
        if name != "Column":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        warnings.warn("rename nasctl.bench.benchmark.Column to TabulatedObjective", RenamedWarning, 2)
        return TabulatedObjective

"""A search's task: its space, metrics, setting and constraints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from nasctl.candidates.objective import Objective, closed_form
from nasctl.candidates.setting import DEFAULT_SETTING, Setting
from nasctl.problem.constraints import Constraint
from nasctl.problem.searcher import Cost, Goal
from nasctl.problem.space import SearchSpace
from nasctl.store.run_record import Column, RunRecord


@dataclass(frozen=True)
class Task:
    """What is searched and what is measured of it, by what a person calls it.

    Args:
        space: Where to search.
        metrics: Everything that is measured, by name.
        setting: What measured values depend on besides the genome.
        recorded: Names of those metrics that are measured and not optimised.
        constraints: What a candidate has to hold to be on the front.
    """

    space: SearchSpace
    metrics: Mapping[str, Objective]
    setting: Setting = DEFAULT_SETTING
    recorded: frozenset[str] = frozenset()
    constraints: tuple[Constraint, ...] = ()

    def __post_init__(self) -> None:
        # The label of a value names the data that was used, so the default data is chosen here and nowhere later.
        object.__setattr__(self, "setting", self.setting.suited_to(self.space.input))

    @cached_property
    def objectives(self) -> tuple[Goal, ...]:
        """The metrics to optimise as searchers know them, (M,)."""
        return tuple(
            Goal(name, metric.direction, metric.transform, _cost(metric))
            for name, metric in self.metrics.items()
            if name not in self.recorded
        )

    def record(
        self,
        space: str,
        asked: Mapping[str, Any] | None = None,
        versions: Mapping[str, str] | None = None,
        remarks: Mapping[str, Sequence[str]] | None = None,
    ) -> RunRecord:
        """The task as the store keeps it."""
        goals = {goal.name: goal for goal in self.objectives}
        said = {name: tuple((remarks or {}).get(name, ())) for name in self.metrics}
        columns = {
            name: Column(self._label(name), metric.unit, _cost(metric), goals.get(name), said[name])
            for name, metric in self.metrics.items()
        }
        return RunRecord(space, columns, self.constraints, asked or {}, versions or {})

    def _label(self, name: str) -> str:
        """What the store files an objective's values under: all that they depend on besides space and genome."""
        objective = self.metrics[name]
        label = f"{name} v{objective.version}"
        return label if objective.needs <= {"network"} else f"{label} @ {self.setting}"


def _cost(metric: Objective) -> Cost:
    return "network" if closed_form(metric) else "module"

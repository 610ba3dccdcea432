"""The task of a search: its space, metrics, setting and constraints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from nasctl.candidates.objective import Objective, closed_form, version_on
from nasctl.candidates.reversed_objective import measured_name
from nasctl.candidates.setting import DEFAULT_SETTING, Setting
from nasctl.problem.constraints import Constraint
from nasctl.problem.searcher import Cost, Goal
from nasctl.problem.space import SearchSpace
from nasctl.store.run_record import Column, RunRecord


@dataclass(frozen=True)
class Task:
    """A search space with the metrics to measure in it.

    Args:
        space: The search space.
        metrics: Objectives to measure, by name.
        setting: The setting that measured values depend on. Default data is replaced by data of the space's kind.
        recorded: Names of the metrics that are measured but not optimised.
        constraints: Constraints that a candidate on the front satisfies.
        filed: Metrics without a module that the store gets for each candidate that is measured, by name. They are no
            part of the run, so searchers and tables do not see them; scores of a finished run may read them.
    """

    space: SearchSpace
    metrics: Mapping[str, Objective]
    setting: Setting = DEFAULT_SETTING
    recorded: frozenset[str] = frozenset()
    constraints: tuple[Constraint, ...] = ()
    filed: Mapping[str, Objective] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # The label of a value names the data that was used, so the default data is chosen here and nowhere later.
        object.__setattr__(self, "setting", self.setting.suited_to(self.space.input))

    @cached_property
    def objectives(self) -> tuple[Goal, ...]:
        """The metrics to optimise, as searchers see them, (M,)."""
        return tuple(
            Goal(name, metric.direction, metric.transform, _cost(metric))
            for name, metric in self.metrics.items()
            if name not in self.recorded
        )

    @property
    def trains(self) -> bool:
        """Whether a metric trains the candidates, which takes much longer than the other metrics do."""
        return any("training" in metric.needs for metric in self.metrics.values())

    @cached_property
    def measurable(self) -> dict[str, Objective]:
        """All metrics, those that are only filed included, by name."""
        return {**self.filed, **self.metrics}

    @cached_property
    def filed_labels(self) -> dict[str, str]:
        """The labels of the metrics that are only filed, by name."""
        return {name: self._label(name) for name in self.filed}

    def record(
        self,
        space: str,
        asked: Mapping[str, Any] | None = None,
        versions: Mapping[str, str] | None = None,
        remarks: Mapping[str, Sequence[str]] | None = None,
    ) -> RunRecord:
        """Return the task as the store keeps it.

        Args:
            space: Spec of the space, with every default written out.
            asked: The question of the run; see `RunRecord`.
            versions: Versions of nasctl and of libraries, by name.
            remarks: Remarks on the metrics, by name.
        """
        goals = {goal.name: goal for goal in self.objectives}
        said = {name: tuple((remarks or {}).get(name, ())) for name in self.metrics}
        columns = {
            name: Column(self._label(name), metric.unit, _cost(metric), goals.get(name), said[name])
            for name, metric in self.metrics.items()
        }
        return RunRecord(space, columns, self.constraints, asked or {}, versions or {})

    def _label(self, name: str) -> str:
        """Return the label under which the store files a metric's values.

        It holds all that the values depend on besides the space and the genome.
        """
        objective = self.measurable[name]
        label = f"{measured_name(name)} v{version_on(objective, self.space)}"
        return label if objective.needs <= {"network"} else f"{label} @ {self.setting}"


def _cost(metric: Objective) -> Cost:
    """Return the cost of a metric: arithmetic on the network, passes over a module, or a training."""
    if "training" in metric.needs:
        return "training"
    return "network" if closed_form(metric) else "module"

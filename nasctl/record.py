"""A run as the store keeps it: what was asked, what is measured and how it is filed; to JSON and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from nasctl.constraints import Constraint
from nasctl.values import Cost, Goal


@dataclass(frozen=True)
class Column:
    """One thing that a run measures."""

    label: str  # under which the store files it
    unit: str
    cost: Cost
    goal: Goal | None  # as searchers know it; None if it is only recorded
    remarks: tuple[str, ...] = ()  # what people are to know of it, such as a device's processor and error


@dataclass(frozen=True)
class Record:
    """One run.

    Args:
        space: Spec of the space, with every default written out.
        columns: What it measures, by name.
        constraints: What a candidate has to hold to be on the front.
        asked: The question as JSON has it; a run of the same name with another one is refused.
        versions: Of nasctl and of the libraries that values depend on.
    """

    space: str
    columns: Mapping[str, Column]
    constraints: tuple[Constraint, ...] = ()
    asked: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def goals(self) -> tuple[Goal, ...]:
        """What it optimises, (M,)."""
        return tuple(column.goal for column in self.columns.values() if column.goal)

    @cached_property
    def labels(self) -> dict[str, str]:
        """Where the values of each column are filed, by its name."""
        return {name: column.label for name, column in self.columns.items()}

    @cached_property
    def cheap(self) -> dict[str, str]:
        """Of those, the columns that need no module."""
        return {name: column.label for name, column in self.columns.items() if column.cost == "network"}

    @cached_property
    def bounded(self) -> tuple[Constraint, ...]:
        """The constraints on those; who breaks one is not measured further."""
        return tuple(constraint for constraint in self.constraints if constraint.name in self.cheap)

    def json(self) -> str:
        """The text that `parsed` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def parsed(cls, text: str) -> Record:
        """The record that a text stands for."""
        content = json.loads(text)
        columns = {name: _column(**column) for name, column in content.pop("columns").items()}
        held = tuple(Constraint(**constraint) for constraint in content.pop("constraints"))
        return cls(columns=columns, constraints=held, **content)


def _column(goal: Mapping[str, Any] | None, remarks: list[str], **rest: Any) -> Column:
    return Column(goal=Goal(**goal) if goal else None, remarks=tuple(remarks), **rest)

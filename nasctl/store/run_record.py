"""A run as the store keeps it: what was asked, what is measured and how it is filed; to JSON and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, get_args

from nasctl.errors import NasctlError
from nasctl.problem.constraints import Constraint
from nasctl.problem.searcher import Cost, Direction, Goal, Transform

ASKED = {  # the question, by the names of its parts
    "space": str,
    "objectives": list,
    "record": list,
    "constraints": list,
    "searcher": str,
    "seed": int,
    "setting": str,
    "tables": dict,
}


@dataclass(frozen=True)
class Column:
    """One thing that a run measures."""

    label: str  # under which the store files it
    unit: str
    cost: Cost
    goal: Goal | None  # as searchers know it; None if it is only recorded
    remarks: tuple[str, ...] = ()  # what people are to know of it, such as a device's processor and error


@dataclass(frozen=True)
class RunRecord:
    """One run.

    Args:
        space: Spec of the space, with every default written out.
        columns: What it measures, by name.
        constraints: What a candidate has to hold to be on the front.
        asked: The question as JSON has it; a run of the same name with another one is refused.
        versions: Of nasctl and of the libraries that values depend on.
        config: Options of the command line that it was last started with, by their names; empty if it was not by that.
        machines: Processor, instruction set and threads of every machine that it was searched on, in order; empty for a
            run of an older nasctl.
    """

    space: str
    columns: Mapping[str, Column]
    constraints: tuple[Constraint, ...] = ()
    asked: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict, compare=False)
    machines: tuple[str, ...] = field(default=(), compare=False)

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
    def parsed(cls, text: str) -> RunRecord:
        """The record that a text stands for.

        Raises:
            NasctlError: It stands for none, as in a store that somebody else's program has written to.
        """
        try:
            content = json.loads(text)
            columns = {name: _column(**column) for name, column in content.pop("columns").items()}
            held = tuple(Constraint(**constraint) for constraint in content.pop("constraints"))
            machines = tuple(content.pop("machines", ()))
            found = cls(columns=columns, constraints=held, machines=machines, **content)
            _check(found)
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:100]
            raise NasctlError(
                f"the store has a run that nasctl cannot have written ({reason}); restore a copy, or give another with"
                " --store"
            ) from None
        return found


def _column(goal: Mapping[str, Any] | None, remarks: list[str], **rest: Any) -> Column:
    return Column(goal=Goal(**goal) if goal else None, remarks=tuple(remarks), **rest)


def _check(record: RunRecord) -> None:
    """See whether a record is such as nasctl writes.

    Raises:
        TypeError: Something in it is of another type.
        ValueError: Something is none of the words that it can be.
        KeyError: A part of the question is missing.
    """
    texts, numbers = [record.space, *record.versions.values()], [bound.bound for bound in record.constraints]
    texts += record.machines
    words: list[tuple[str, Any]] = []  # and what each can be
    for name, column in record.columns.items():
        texts += [name, column.label, column.unit, *column.remarks]
        words += [(column.cost, Cost)]
        if column.goal:
            if column.goal.name != name:
                raise ValueError(f"{column.goal.name!r} is the goal of {name!r}")
            words += [(column.goal.direction, Direction), (column.goal.transform, Transform), (column.goal.cost, Cost)]
    texts += [bound.name for bound in record.constraints]
    for key, kind in ASKED.items() if record.asked else ():
        value = record.asked[key]
        if not isinstance(value, kind):
            raise TypeError(f"{key} is {type(value).__name__}")
        texts += list(value) if isinstance(value, list | dict) else []
    if record.asked and [goal.name for goal in record.goals] != record.asked["objectives"]:
        raise ValueError("what was asked is not what is measured")
    if not isinstance(record.config, dict):
        raise TypeError("the configuration is no table")
    if not all(isinstance(one, str) for one in texts) or not all(isinstance(one, int | float) for one in numbers):
        raise TypeError("a name or a number is something else")
    if wrong := [word for word, known in words if word not in get_args(known)]:
        raise ValueError(f"{wrong[0]!r} is no such word")

"""A run as the store keeps it: what was asked, what is measured and how it is filed; to JSON and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, TypedDict

from nasctl.errors import NasctlError
from nasctl.problem.constraints import Constraint
from nasctl.problem.searcher import Cost, Goal


class Question(TypedDict):
    """The parts of a run's question; a run of the same name with another question is refused."""

    space: str
    objectives: list[str]
    record: list[str]
    constraints: list[str]
    searcher: str
    seed: int
    setting: str
    tables: dict[str, str]


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
        """Return the record that a text stands for.

        Raises:
            NasctlError: The text stands for none, as in a store that another program has written to.
        """
        import msgspec

        try:
            content = json.loads(text)
            found = msgspec.convert(content, cls)
            if found.asked:
                msgspec.convert(found.asked, Question)
            found._check(content)
        except (msgspec.ValidationError, ValueError, TypeError, RecursionError) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:100]
            raise NasctlError(
                f"the store has a run that nasctl cannot have written ({reason}); restore a copy, or give another with"
                " --store"
            ) from None
        return found

    def _check(self, content: Mapping[str, Any]) -> None:
        """Check what the types do not say.

        Args:
            content: The JSON that the record was made from.

        Raises:
            ValueError: The parts of the record do not belong together, or nasctl does not know one of them.
        """
        if wrong := [name for name, column in self.columns.items() if column.goal and column.goal.name != name]:
            raise ValueError(f"{wrong[0]!r} is the column of another goal")
        if self.asked and [goal.name for goal in self.goals] != self.asked["objectives"]:
            raise ValueError("what was asked is not what is measured")
        written = json.loads(self.json())
        if written | content != written:  # a part that this version would leave out
            raise ValueError("it has a part that is unknown")

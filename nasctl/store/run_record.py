"""The record of a run in the store: its question, and what it measures under which labels; as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, TypedDict

from nasctl.errors import NasctlError
from nasctl.problem.constraints import Constraint
from nasctl.problem.searcher import Cost, Goal

NEW_UNITS = {"norm": ""}  # units that earlier versions wrote, and what replaced them


class Question(TypedDict):
    """The question that a run answers. A run of the same name with another question is refused."""

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
    """An objective that a run optimises or records."""

    label: str  # label under which the store files its values
    unit: str
    cost: Cost
    goal: Goal | None  # the objective as searchers know it; None if it is recorded only
    remarks: tuple[str, ...] = ()  # facts for people, such as the processor and the error of a device


@dataclass(frozen=True)
class RunRecord:
    """The record of one run.

    Args:
        space: Spec of the search space, with every default written out.
        columns: Objectives that the run optimises or records, by name.
        constraints: Constraints that a candidate on the front satisfies.
        asked: The question, with the keys of `Question`; empty for a run that a script started without one.
        versions: Versions of nasctl and of the libraries that values depend on, by name.
        config: Options of the command line that last started the run, by name; empty if a script started it.
        machines: Processor, instruction set and threads of every machine that the run was searched on, in order; empty
            for a run of an older nasctl.
        task: What the networks are to be trained for, one of `nasctl.problem.defaults.TASKS`; "" for what is usual in
            the family of the space, and for a run of an older nasctl, which kept it in `config` alone.
    """

    space: str
    columns: Mapping[str, Column]
    constraints: tuple[Constraint, ...] = ()
    asked: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict, compare=False)
    machines: tuple[str, ...] = field(default=(), compare=False)
    task: str = field(default="", compare=False)

    @cached_property
    def goals(self) -> tuple[Goal, ...]:
        """The objectives that the run optimises, (M,)."""
        return tuple(column.goal for column in self.columns.values() if column.goal)

    @cached_property
    def labels(self) -> dict[str, str]:
        """The label of each column, by name."""
        return {name: column.label for name, column in self.columns.items()}

    @cached_property
    def cheap(self) -> dict[str, str]:
        """The labels of the columns that need no module, by name."""
        return {name: column.label for name, column in self.columns.items() if column.cost == "network"}

    @cached_property
    def bounded(self) -> tuple[Constraint, ...]:
        """The constraints on columns that need no module. A candidate that breaks one is not measured further."""
        return tuple(constraint for constraint in self.constraints if constraint.name in self.cheap)

    @property
    def bounds(self) -> list[str]:
        """The constraints as people write them, such as "params<=5M"."""
        return [self.bound_text(one) for one in self.constraints]

    def bound_text(self, constraint: Constraint) -> str:
        """Return a constraint on a column as people write it; see `Constraint.text`."""
        column = self.columns.get(constraint.name)
        return constraint.text(column.unit if column else "")

    def json(self) -> str:
        """Return the record as the text that `parsed` reads."""
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
            columns = {k: replace(one, unit=NEW_UNITS.get(one.unit, one.unit)) for k, one in found.columns.items()}
            found = replace(found, columns=columns)
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

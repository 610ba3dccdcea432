"""Groups of options: a command receives each group as one value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

import click

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


@dataclass(frozen=True)
class OptionGroup:
    """A decorator that gives a command several options and passes it one value built from them.

    Args:
        parameter: The command's parameter that receives the value.
        heading: Heading of the options in `--help`.
        build: Makes the value; its keyword arguments are the options' names.
        options: Decorators as `click.option` returns them.
    """

    parameter: str
    heading: str
    build: Callable[..., object]
    options: tuple[Callable[[Any], Any], ...]

    @property
    def names(self) -> list[str]:
        """Names of the options, as click passes them."""
        command = self._declare(lambda: None)
        return [str(option.name) for option in click.command()(command).params]

    def __call__(self, command: Decorated) -> Decorated:
        """Return the command with the options of this group."""
        names = self.names

        @wraps(command)
        def grouped(*arguments: Any, **values: Any) -> object:
            value = self.build(**{name: values.pop(name) for name in names})
            return command(*arguments, **values, **{self.parameter: value})

        declared: Decorated = self._declare(grouped)
        return declared

    def _declare(self, command: Any) -> Any:
        for option in reversed(self.options):
            command = option(command)
        return command


class GroupedCommand(click.Command):
    """A command whose `--help` lists its groups of options under their headings.

    Args:
        groups: The groups, in the order of the headings.
    """

    def __init__(self, *args: Any, groups: tuple[OptionGroup, ...] = (), **options: Any) -> None:
        super().__init__(*args, **options)
        self._groups = groups

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        headings = {name: group.heading for group in self._groups for name in group.names}
        sections: dict[str, list[tuple[str, str]]] = {heading: [] for heading in [*headings.values(), "Options"]}
        for parameter in self.get_params(ctx):
            if (record := parameter.get_help_record(ctx)) is not None:
                sections[headings.get(str(parameter.name), "Options")].append(record)
        for heading, records in sections.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)

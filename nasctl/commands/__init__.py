"""The command line: one module per command, which binds `command` and imports slow libraries only when called.

The package holds the group of commands and the options that several commands share.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import Any

import click

from nasctl.commands._complete import complete
from nasctl.commands._examples import epilog
from nasctl.commands._types import OutputPath
from nasctl.errors import NasctlError, UnknownName
from nasctl.problem.defaults import DEFAULT_STORE

WORDS = "nasctl.words"  # key of a context's `meta`: the words of the command line, and those of its configuration

SUMMARY = 500  # most characters of a command's summary in a list


class Commands(click.Group):
    """A group of the commands that the modules of a package bind.

    A trailing underscore of a module's name is not part of the command: `import_` binds `import`.

    Args:
        package: Name of the package.
    """

    def __init__(self, *args: Any, package: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self._package = package

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self._modules())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        if (module := self._modules().get(cmd_name)) is None:
            raise NasctlError(str(UnknownName("command", cmd_name, self.list_commands(ctx))))
        command: click.Command = import_module(f"{self._package}.{module}").command
        if command.epilog is None:
            group = self._package.removeprefix("nasctl.commands").replace(".", " ").strip()
            command.epilog = epilog(f"{group} {cmd_name}".strip())
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands with their whole summaries; click cuts them at the width of the terminal."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, one.get_short_help_str(SUMMARY)) for name, one in found if one is not None and not one.hidden]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def _modules(self) -> dict[str, str]:
        path = import_module(self._package).__path__
        names = (module.name for module in pkgutil.iter_modules(path) if not module.name.startswith("_"))
        return {name.rstrip("_"): name for name in names}


def _current_store(ctx: click.Context, option: click.Parameter, value: str) -> str:
    """Return the store, beside which the trainings and supernets that specs name are looked for from now on."""
    from nasctl.training.folder import CURRENT_STORE

    CURRENT_STORE.set(value)
    return value


store_option = click.option(
    "--store",
    default=DEFAULT_STORE,
    envvar="NASCTL_STORE",
    show_default=True,
    show_envvar=True,
    callback=_current_store,
    type=click.Path(dir_okay=True),  # the store itself refuses a folder, with a better message than click's
    help="SQLite file that holds measurements, runs and trainings.",
)


def _refuse_two_formats(ctx: click.Context, option: click.Parameter, value: bool) -> bool:
    """Return the value of --json or --csv.

    Raises:
        click.UsageError: Both are given.
    """
    other = "as_csv" if option.name == "as_json" else "as_json"
    if value and ctx.params.get(other):
        raise click.UsageError("--json and --csv are two formats; give one of them.")
    return value


json_option = click.option("--json", "as_json", is_flag=True, callback=_refuse_two_formats, help="Print JSON.")

csv_option = click.option(
    "--csv",
    "as_csv",
    is_flag=True,
    callback=_refuse_two_formats,
    help="Print the table as CSV, with exact values and with units in the header row.",
)

plot_option = click.option(
    "--plot",
    metavar="FILE",
    type=OutputPath(),
    help="Draw an architecture: its blocks, and its cells as graphs. FILE is a .png, .svg or .pdf, or a folder.",
)

force_option = click.option("--force", is_flag=True, help="Overwrite an existing picture.")

run_option = click.option(
    "--run",
    metavar="NAME",
    help="Name of a run, or its beginning.  [default: the run started last]",
    shell_complete=complete("runs"),
)

SPACE_HELP = "Search space: NAME, NAME:key=value,... or FILE.py:CLASS"

space_option = click.option(
    "--space", required=True, metavar="SPEC", help=SPACE_HELP, shell_complete=complete("spaces")
)

device_option = click.option(
    "--device",
    "devices",
    multiple=True,
    metavar="NAME",
    help="Device, or a file of a latency table. Repeatable, or A,B; see `nasctl device list`.",
    shell_complete=complete("devices"),
)


def word_or_option(what: str, word: str | None, option: str | None) -> str:
    """Return what a user named as a word or with the option of that name.

    Args:
        what: "space" or "arch".
        word: The word; None if there is none.
        option: The value of the option; None if it is not given.

    Raises:
        NasctlError: Neither is given, or both and they differ.
    """
    if word is not None and option is not None and word != option:
        raise NasctlError(f"{word!r} and --{what} {option} name two; leave one out")
    if (named := word if option is None else option) is None:
        raise NasctlError(MISSING[what])
    return named


MISSING = {
    "space": "say which search space: name one of `nasctl space list`, or let `nasctl find` choose one",
    "arch": "say which architecture: give an id, which searches print and `nasctl pareto show` lists",
}

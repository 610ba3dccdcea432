"""One module for each command of the command line; it binds `command` and imports what costs time when called."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from nasctl.errors import NasctlError, UnknownName


class Commands(click.Group):
    """A group of the commands that the modules of a package bind; "import_" has a name that Python keeps for itself."""

    def __init__(self, *args: Any, package: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self._package = package

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self._modules())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        if (module := self._modules().get(cmd_name)) is None:
            raise NasctlError(str(UnknownName("command", cmd_name, self.list_commands(ctx))))
        command: click.Command = import_module(f"{self._package}.{module}").command
        return command

    def _modules(self) -> dict[str, str]:
        path = import_module(self._package).__path__
        names = (module.name for module in pkgutil.iter_modules(path) if not module.name.startswith("_"))
        return {name.rstrip("_"): name for name in names}


store_option = click.option(
    "--store",
    default="nasctl.db",
    envvar="NASCTL_STORE",
    show_default=True,
    show_envvar=True,
    type=click.Path(dir_okay=True),  # what is no file is refused with a sentence of the store's own
    help="SQLite file that holds measurements and runs.",
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

plot_option = click.option(
    "--plot",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Draw an architecture: its blocks, and its cells as graphs. FILE is a .png, .svg or .pdf.",
)

force_option = click.option("--force", is_flag=True, help="Write over an existing picture.")

run_option = click.option("--run", metavar="NAME", help="Name of a run, or its beginning.  [default: the newest]")

space_option = click.option("--space", required=True, metavar="SPEC", help="Search space: NAME or NAME:key=value,...")

device_option = click.option("--device", "devices", multiple=True, metavar="NAME", help="Device; see `device list`.")

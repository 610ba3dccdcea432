"""`nasctl supernet delete`."""

from __future__ import annotations

import sys

import click

from nasctl.commands import store_option
from nasctl.commands._complete import complete
from nasctl.errors import NasctlError


@click.command()
@click.argument("name", shell_complete=complete("supernets"))
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@store_option
def command(name: str, yes: bool, store: str) -> None:
    """Delete the supernet NAME with its weights, checkpoints and log."""
    from nasctl.supernets.rows import find_supernet
    from nasctl.system.terminal import printable, say

    folder = find_supernet(name, store)
    if yes and folder.path.name != name:
        raise NasctlError(f"Cannot delete {name!r} with --yes: it begins the name {folder.path.name}. Give all of it.")
    name = folder.path.name
    if not yes:
        if not sys.stdin.isatty():
            raise NasctlError(f"Cannot ask whether to delete supernet {name}: stdin is no terminal. Give --yes.")
        click.confirm(printable(f"Delete supernet {name} and everything in {folder.path}?"), abort=True, err=True)
    folder.delete()
    say(f"deleted supernet {name}")

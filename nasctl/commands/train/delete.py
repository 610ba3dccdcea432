"""`nasctl train delete`."""

from __future__ import annotations

import sys

import click

from nasctl.commands import store_option
from nasctl.errors import NasctlError


@click.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@store_option
def command(name: str, yes: bool, store: str) -> None:
    """Delete the training NAME with its weights, checkpoints and log."""
    from nasctl.store.store import Store
    from nasctl.system.terminal import printable, say
    from nasctl.training.folder import TrainingFolder, trainings_folder

    opened = Store.reading(store)
    name = opened.training(name).name
    folder = TrainingFolder(trainings_folder(store) / name)
    if not yes:
        if not sys.stdin.isatty():
            raise NasctlError(f"Cannot ask whether to delete training {name}: stdin is no terminal. Give --yes.")
        click.confirm(printable(f"Delete training {name} and everything in {folder.path}?"), abort=True, err=True)
    folder.delete()
    Store(store).delete_training(name)
    say(f"deleted training {name}")

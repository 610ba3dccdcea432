"""`nasctl bench`; each command is a module of this package, imported when it is called."""

from __future__ import annotations

import click

from nasctl.commands import Commands


@click.group(cls=Commands, package=__name__)
def command() -> None:
    """Compare search algorithms on tables of trained architectures."""

"""The commands of `nasctl supernet`, one module each, imported when called."""

from __future__ import annotations

import click

from nasctl.commands import Commands


@click.group(cls=Commands, package=__name__)
def command() -> None:
    """Train supernets, and take networks out of them."""

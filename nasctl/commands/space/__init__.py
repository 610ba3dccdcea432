"""The commands of `nasctl space`, one module each, imported when called."""

from __future__ import annotations

import click

from nasctl.commands import Commands


@click.group(cls=Commands, package=__name__)
def command() -> None:
    """List, show, sample and profile search spaces, and their published networks."""

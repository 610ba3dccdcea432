"""The command `nasctl version`."""

from __future__ import annotations

import click

from nasctl.registry.version import __version__


@click.command()
def command() -> None:
    """Show the version, as --version does."""
    click.echo(f"nasctl, version {__version__}")

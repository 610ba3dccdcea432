"""`nasctl supernet`: commands about supernets, a module for each."""

from __future__ import annotations

import click

from nasctl.commands import Commands


@click.group(cls=Commands, package=__name__)
def command() -> None:
    """Train the shared weights of all networks of a space once, and list, show and delete them."""

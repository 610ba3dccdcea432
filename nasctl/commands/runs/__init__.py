"""`nasctl runs`: commands about the runs of a store, a module for each."""

from __future__ import annotations

import click

from nasctl.commands import Commands


@click.group(cls=Commands, package=__name__)
def command() -> None:
    """List, show, compare, measure again and delete runs."""

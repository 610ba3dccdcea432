"""`nasctl pareto`: commands about the front of a run, a module for each."""

from __future__ import annotations

import click

from nasctl.commands import Commands


@click.group(cls=Commands, package=__name__)
def command() -> None:
    """The non-dominated candidates of a run: show, plot and measure them, and pick one."""

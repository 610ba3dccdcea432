"""`nasctl pareto plot`."""

from __future__ import annotations

from pathlib import Path

import click

from nasctl.commands import run_option, store_option
from nasctl.commands._types import OutputPath, file_in


@click.command("plot")
@run_option
@click.option(
    "--x",
    metavar="OBJECTIVE",
    help="Quantity on x: an objective or recorded metric of the run, params or macs.  [default: each cost]",
)
@click.option(
    "--y",
    metavar="OBJECTIVE",
    help="Quantity on y; also accuracy, of trained networks.  [default: each metric]",
)
@click.option(
    "--mark",
    "marks",
    multiple=True,
    metavar="ARCH",
    help="Name a network: an id, its unique beginning, or a published network of the space. Repeatable.",
)
@click.option(
    "-o",
    "--output",
    type=OutputPath(),
    metavar="FILE",
    help="Picture to write, as .png, .svg or .pdf.  [default: RUN.png]",
)
@click.option("--force", is_flag=True, help="Write over an existing picture.")
@store_option
def command(
    run: str | None,
    x: str | None,
    y: str | None,
    marks: tuple[str, ...],
    output: Path | None,
    force: bool,
    store: str,
) -> None:
    """Draw the front of a run against all its candidates, a panel for each pair of cost and metric.

    A star marks the recommended network, and squares the published networks that the run evaluated. Trained candidates
    are ringed, and their accuracy has a panel for each cost. The metadata of the file hold the settings of the run and
    the command that repeats it.
    """
    from nasctl.report.run_plot import ChosenView, draw_run
    from nasctl.store.store import Store
    from nasctl.system.terminal import say

    opened = Store.reading(store)
    name, _ = opened.run(run)
    path = file_in(output, f"{name}.png")
    draw_run(path, opened, name, ChosenView(x, y, marks), force)
    say(f"the front of run {name} is in:")
    click.echo(path)

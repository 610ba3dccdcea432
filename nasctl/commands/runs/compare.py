"""`nasctl runs compare`."""

from __future__ import annotations

from pathlib import Path

import click

from nasctl.commands import csv_option, json_option, store_option
from nasctl.commands._types import OutputPath, file_in


@click.command()
@click.argument("names", metavar="RUN RUN ...", nargs=-1, required=True)
@click.option(
    "--plot",
    type=OutputPath(),
    metavar="FILE",
    help="Draw the fronts in one panel, the first metric against the first cost, and the hypervolumes over the"
    " evaluations in another: .png, .svg or .pdf.",
)
@click.option("--force", is_flag=True, help="Write over an existing picture.")
@store_option
@csv_option
@json_option
def command(names: tuple[str, ...], plot: Path | None, force: bool, store: str, as_csv: bool, as_json: bool) -> None:
    """Compare runs of one space with the same objectives, each RUN given by its name or the beginning of it.

    Hypervolumes are shares of one ideal box, by the range of each objective over the candidates of all these runs; "own
    HV" is the share of the run's own ideal box, which other commands show. Single runs also differ by chance, through
    their seeds. --csv prints the table of runs.
    """
    import json

    from nasctl.analysis.compare_runs import compare_runs
    from nasctl.drawing.canvas import check_free
    from nasctl.pareto.hypervolume import REFERENCE
    from nasctl.store.store import Store
    from nasctl.system.terminal import TableColumn, say, table

    if plot is not None:
        check_free(plot := file_in(plot, "comparison.png"), force)
    found = compare_runs(Store.reading(store), names)
    say(*(f"Warning: {sentence}" for sentence in found.warnings()))
    if plot is not None:
        from nasctl.analysis.compare_runs_plot import overlay

        overlay(plot, found, force)
        say(f"picture: {plot}")
    if as_json:
        click.echo(json.dumps(found.report()))
        return
    ends = [f"{name} {best:.6g} to {found.scale.worst[name]:.6g}" for name, best in found.scale.best.items()]
    say(
        "own HV: share of the ideal box of the run itself, as other commands show it",
        f"HV: share of one ideal box, from {REFERENCE} of each range over what these runs evaluated to its best:"
        f" {', '.join(ends)}",
    )
    for k, (heads, rows) in enumerate(found.tables()):
        if k and rows:
            click.echo()
        if rows:
            table([TableColumn(name, priority=_priority(name)) for name in heads], rows, as_csv=as_csv)
        if as_csv:
            return


def _priority(name: str) -> int:
    """Return how early a column is left out on a narrow terminal; runs, fronts and the last hypervolume stay longest.

    Args:
        name: Heading of the column.
    """
    if name.startswith("HV at ") and name != "HV at the end":
        return 6
    return {"failed": 5, "candidates": 4, "evaluated by both": 3, "on both fronts": 2, "undominated": 1}.get(name, 0)

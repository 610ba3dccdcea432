"""`nasctl pareto hypervolume`."""

from __future__ import annotations

import click

from nasctl.commands import csv_option, json_option, run_option, store_option


@click.command("hypervolume")
@run_option
@store_option
@csv_option
@json_option
def command(run: str | None, store: str, as_csv: bool, as_json: bool) -> None:
    """Show the hypervolume of the front of a run, its scale, and its growth over the search."""
    import json

    from nasctl.pareto.hypervolume import REFERENCE, checkpoints
    from nasctl.pareto.losses import feasible_losses, front
    from nasctl.search.recorded_hypervolume import hypervolume_scale
    from nasctl.store.store import Store
    from nasctl.system.terminal import TableCell, definitions, plural, table

    opened = Store.reading(store)
    name, record = opened.run(run)
    visited = opened.evaluations(name)
    measured, said = hypervolume_scale(record, visited)
    points = feasible_losses(visited, record.goals, record.constraints)
    counts = checkpoints(len(visited), 100 if as_json or as_csv else 10)
    curve = measured.curve(points, counts)
    size = len(front(visited, record.goals, record.constraints))
    if as_json:
        ends = {"reference": REFERENCE, "best": measured.best, "worst": measured.worst, "normalisation": said}
        growth = [list(point) for point in zip(counts, curve, strict=True)]
        click.echo(json.dumps({"run": name, "hypervolume": curve[-1], "front": size, "scale": ends, "curve": growth}))
        return
    ranges = {
        goal.name: f"{measured.best[goal.name]:.6g} is 0, {measured.worst[goal.name]:.6g} is 1"
        f" ({record.columns[goal.name].unit})"
        for goal in record.goals
    }
    growth_rows = [
        [n, TableCell(volume, text := f"{volume:.4f}", text)] for n, volume in zip(counts, curve, strict=True)
    ]
    if as_csv:
        table(["candidates", "hypervolume"], growth_rows, as_csv=True)
        return
    definitions(
        {
            "run": name,
            "hypervolume": f"{curve[-1]:.4f}",
            "front": f"{size} of {plural(len(visited), 'candidate')}",
            "reference": f"{REFERENCE} in each scaled objective, so a point that is best in all has"
            f" {REFERENCE ** len(record.goals):.4f}",
            "scaled": said,
            **ranges,
        }
    )
    click.echo()
    table(["candidates", "hypervolume"], growth_rows, as_csv=False)

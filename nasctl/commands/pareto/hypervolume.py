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
    """Show the hypervolume of the front of a run as a share of the ideal box, its scale, and its growth.

    The ideal box reaches from the reference point to the best value of every objective at once.
    """
    import json

    from nasctl.pareto.hypervolume import REFERENCE, checkpoints
    from nasctl.pareto.hypervolume_scale import fronts_at
    from nasctl.pareto.losses import feasible_losses
    from nasctl.search.recorded_hypervolume import hypervolume_scale
    from nasctl.store.store import Store
    from nasctl.system.terminal import TableCell, definitions, plural, table

    opened = Store.reading(store)
    name, record = opened.run(run)
    visited = opened.evaluations(name)
    measured, said = hypervolume_scale(record, visited)
    points = feasible_losses(visited, record.goals, record.constraints)
    counts = checkpoints(len(visited), 100 if as_json or as_csv else 10)
    fronts = list(fronts_at(points, counts))
    shares, size = measured.shares(fronts), len(fronts[-1])
    if as_json:
        curve = [measured.volume(front) for front in fronts]
        ends = {"reference": REFERENCE, "best": measured.best, "worst": measured.worst, "normalisation": said}
        growth = list(zip(counts, curve, strict=True))
        found = {"run": name, "share": shares[-1], "hypervolume": curve[-1], "front": size, "scale": ends}
        click.echo(json.dumps({**found, "curve": growth, "shares": list(zip(counts, shares, strict=True))}))
        return
    ranges = {
        goal.name: f"{measured.best[goal.name]:.6g} is 0, {measured.worst[goal.name]:.6g} is 1"
        + (f" ({unit})" if (unit := record.columns[goal.name].unit) else "")
        for goal in record.goals
    }
    growth_rows = [[n, TableCell(share, text := f"{share:.1%}", text)] for n, share in zip(counts, shares, strict=True)]
    if as_csv:
        table(["candidates", "hypervolume"], growth_rows, as_csv=True)
        return
    definitions(
        {
            "run": name,
            "hypervolume": f"{shares[-1]:.1%} of the ideal box",
            "front": f"{size} of {plural(len(visited), 'candidate')}",
            "ideal box": f"from the reference, {REFERENCE} in each scaled objective, to 0, or to the best value of the"
            " front if that is better",
            "scaled": said,
            **ranges,
        }
    )
    click.echo()
    table(["candidates", "hypervolume"], growth_rows, as_csv=False)

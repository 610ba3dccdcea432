"""The command `nasctl space profile`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from nasctl.commands import csv_option, device_option, json_option
from nasctl.commands._complete import complete

if TYPE_CHECKING:
    from nasctl.system.terminal import TableCell

FIGURES = ("least", "quarter", "median", "three_quarters", "most")  # keys of the JSON output


@click.command("profile")
@click.argument("space", shell_complete=complete("spaces"))
@device_option
@click.option(
    "-n", "--number", default=200, show_default=True, type=click.IntRange(2, 10**6), help="Number of networks."
)
@csv_option
@json_option
def command(space: str, devices: tuple[str, ...], number: int, as_csv: bool, as_json: bool) -> None:
    """Show the costs of networks of SPACE: minimum, quartiles of a random sample, and maximum."""
    import json

    import numpy as np

    from nasctl import registry
    from nasctl.candidates.candidate import Candidate
    from nasctl.candidates.setting import DEFAULT_SETTING
    from nasctl.evaluation import ranges
    from nasctl.hardware.pricing import held_out_error
    from nasctl.hardware.table import LatencyTable
    from nasctl.search.metrics import make_objective
    from nasctl.system.terminal import TableColumn, table

    made = registry.create("spaces", space)
    drawn = ranges.sample(made, number)
    rows = []
    tables: dict[str, LatencyTable] = {}
    for spec in ("params", "macs", "memory", *(f"latency@{device}" for device in registry.listed(devices))):
        name, objective = make_objective(spec, space)
        if isinstance(found := getattr(objective, "table", None), LatencyTable):
            tables[name] = found
        values = [objective(Candidate(made, genome, DEFAULT_SETTING, objective.needs)) for genome in drawn]
        reach = ranges.bounds(made, objective)
        figures = [reach.least, *np.quantile(values, (0.25, 0.5, 0.75)).tolist(), reach.most]
        rows.append((name, objective.unit, dict(zip(FIGURES, figures, strict=True)), reach.proven))
    if as_json:
        described: list[dict[str, object]] = [
            {"objective": name, "unit": unit, **row, "proven": proven} for name, unit, row, proven in rows
        ]
        for one in described:
            if (found := tables.get(str(one["objective"]))) is not None:
                one |= {"table": found.device, "error": held_out_error(found, space)}
        click.echo(json.dumps(described))
        return
    columns = [
        TableColumn("objective", pipe="", short=""),
        TableColumn("least"),
        TableColumn("25%", priority=3),
        TableColumn("median", priority=1),
        TableColumn("75%", priority=3),
        TableColumn("most"),
        TableColumn("least and most are", priority=4),
    ]
    lines = [[*_cells(name, unit, row), "proven" if proven else "found"] for name, unit, row, proven in rows]
    table(columns, lines, as_csv=as_csv)
    for name, latencies in () if as_csv else tables.items():
        click.echo(f"{name}: table {latencies.device}; held-out error: {held_out_error(latencies, space)}")


def _cells(name: str, unit: str, figures: Mapping[str, float]) -> list[TableCell]:
    """Return the cells of an objective: its name and its figures, which have no prefix of their unit in CSV."""
    from nasctl.system.terminal import UNITS, TableCell, quantity

    headed = f"{name} ({unit})" if unit else name
    shown = name if unit in UNITS else headed
    texts = [quantity(figure, unit if unit in UNITS else "") for figure in figures.values()]
    cells = [TableCell(figure, text, text) for figure, text in zip(figures.values(), texts, strict=True)]
    return [TableCell(headed, shown, shown), *cells]

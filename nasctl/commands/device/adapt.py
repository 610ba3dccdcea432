"""The command `nasctl device adapt`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nasctl.commands import json_option, store_option
from nasctl.commands._types import OutputPath
from nasctl.commands.device import command_line, precision_option, table_file

if TYPE_CHECKING:
    from nasctl.hardware.fitting.adaptation import Adaptation, TimedArchitectures
    from nasctl.hardware.tables_schema import Kind

OUTPUT_OPTIONS = ("out", "force", "as_json", "store")  # options that do not change the table
FEW = 5  # networks from which on the error by leaving one out means something


@click.command("adapt")
@click.argument("bases", nargs=-1, metavar="[BASE]...")
@click.option(
    "--csv", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Architectures and milliseconds."
)
@click.option("--column", metavar="NAME", help="Column of ms for one batch.  [default: ms, or the second one]")
@click.option("--name", required=True, help="Name of the new device.")
@click.option("--space", metavar="SPEC", help="Space of the architectures, if these do not name it.")
@click.option("--batch", default=1, show_default=True, type=click.IntRange(1, 65536), help="Examples per batch.")
@click.option(
    "--kind",
    type=click.Choice(["gpu", "cpu", "mobile", "accelerator"]),
    help="Kind of the device.  [default: that of the base with the largest share]",
)
@click.option("--processor", default="", help="Processor of the device.")
@click.option("--runtime", default="", help="Runtime that was timed, with its version.")
@precision_option
@click.option("--threads", type=click.IntRange(1), help="Threads of the runtime.")
@click.option("-o", "--out", type=OutputPath(), help="Table file.  [default: NAME.json]")
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@store_option
@json_option
def command(
    bases: tuple[str, ...],
    csv: Path,
    column: str | None,
    name: str,
    space: str | None,
    batch: int,
    kind: Kind | None,
    processor: str,
    runtime: str,
    precision: str,
    threads: int | None,
    out: Path | None,
    force: bool,
    store: str,
    as_json: bool,
) -> None:
    """Make the table NAME of a new device from existing tables and a few whole networks that were timed on it.

    The table is the sum of the tables BASE with factors of 0 or more that fit the measurements best. Without BASE, all
    tables that are listed for the space are mixed. Five networks of different sizes are enough for a first table; with
    one, a single table gets a factor. The error is that on each network, predicted from the other ones.

    The CSV file has a line such as "arch,ms", and a line per network: its id, its genome in quotes, the name of a
    reference network, or its file in a kit, and milliseconds for one batch. `nasctl device kit --only-networks` writes
    networks with a script that times them on the device.
    """
    from dataclasses import replace
    from datetime import date

    from nasctl.hardware.fitting.adaptation import adapt, base_tables, read_timed
    from nasctl.hardware.table import LatencyTable
    from nasctl.store.store import Store
    from nasctl.system.terminal import say

    path = table_file(name, out, fresh=not force)
    timed = read_timed(csv, Store.reading(store), space, column)
    tables, remarks = base_tables(bases, timed)
    say(*remarks)
    empty = LatencyTable(name, "mobile", batch, {}, processor=processor, runtime=runtime, threads=threads)
    empty = replace(empty, precision=precision, date=date.today().isoformat())
    found = adapt(empty, tables, timed)
    largest = next(table for table in tables if table.device == next(iter(found.shares)))
    line = command_line("nasctl device adapt", OUTPUT_OPTIONS)
    found = replace(found, table=replace(found.table, kind=kind or largest.kind, command=line))
    found.table.save(path)
    _print_adaptation(path, found, timed, as_json)
    if found.held_out is None:
        say(f"One network says nothing of the error: a search will print NOT VALIDATED. {FEW} networks are advised.")
    elif len(timed.ms) < FEW:
        say(f"{len(timed.ms)} networks say little of the error: {FEW} are advised.")
    say(f"next: nasctl search --space {timed.space} --device {path}")


def _print_adaptation(path: Path, found: Adaptation, timed: TimedArchitectures, as_json: bool) -> None:
    """Print the mixture, the predictions of the networks, and the error by leaving one out."""
    import json

    from msgspec.structs import asdict

    from nasctl.system.terminal import say, table

    held_out = [None] * len(timed.ms) if found.held_out is None else found.held_out.tolist()
    networks = list(zip(timed.names, timed.ms.tolist(), found.predicted.tolist(), held_out, strict=True))
    if as_json:
        columns = ("arch", "measured", "predicted", "left_out")
        facts = {"file": str(path), "method": found.table.method, "digest": found.table.digest}
        mixture = {"factors": found.factors, "shares": found.shares}
        validation = [asdict(one) for one in found.table.validation]
        rows = [dict(zip(columns, row, strict=True)) for row in networks]
        click.echo(json.dumps({**facts, **mixture, "networks": rows, "validation": validation}))
        return
    mixed = " + ".join(f"{factor:.4g} x {name}" for name, factor in found.factors.items())
    say(f"{path}: {mixed}")
    cells = [
        [name, f"{ms:.4g}", f"{predicted:.4g}", "" if left is None else f"{left:.4g}", _error(left, ms)]
        for name, ms, predicted, left in networks
    ]
    table(["network", "measured ms", "table ms", "left out ms", "error %"], cells)
    for one in found.table.validation:
        click.echo(f"error by leaving one out: {one.mape:.1f}% on average, bias {one.bias:+.1f}%")


def _error(predicted: float | None, measured: float) -> str:
    """Return the relative error in % of a prediction, or "" without one."""
    return "" if predicted is None else f"{100 * (predicted / measured - 1):+.1f}"

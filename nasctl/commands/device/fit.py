"""The command `nasctl device fit`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nasctl.commands import json_option, space_option
from nasctl.commands._types import OutputPath
from nasctl.commands.device import command_line, precision_option, table_file

if TYPE_CHECKING:
    import numpy as np

    from nasctl.hardware.fitting.by_idle import FormFit, IdleChoice, TimedNetworks
    from nasctl.hardware.fitting.by_place import Rows
    from nasctl.hardware.table import LatencyTable
    from nasctl.hardware.tables_schema import Kind

ATTRIBUTION = (
    "Only whole networks were timed: how a network's latency divides over its blocks is the fit's attribution."
)
IDLE_PRICED = {
    "count": "Networks were timed as they are written: the latency of operations that do not influence the output is "
    "part of the figures. A network without them may be faster than its figure.",
    "ignore": "Operations that do not influence the output are taken to cost nothing.",
}
HELD_OUT = {
    None: "whole networks",
    "count": "whole networks with idle operations",
    "ignore": "whole networks",
}
USELESS = "The table does not predict which networks are faster: {}"
OUTPUT_OPTIONS = ("out", "force", "as_json")  # options that do not change the table


@click.command("fit")
@space_option
@click.option(
    "--csv", required=True, type=click.Path(path_type=Path), help="Architectures and ms: CSV, CSV.gz or JSON."
)
@click.option("--column", metavar="NAME", help="Column of ms for one batch.  [default: the only one of numbers]")
@click.option("--name", required=True, help="Name of the device.")
@click.option("--batch", default=1, show_default=True, type=click.IntRange(1, 65536), help="Examples per batch.")
@click.option("--kind", default="mobile", show_default=True, type=click.Choice(["gpu", "cpu", "mobile", "accelerator"]))
@click.option("--processor", default="", help="Processor of the device.")
@click.option("--runtime", default="", help="Runtime that was timed, with its version.")
@precision_option
@click.option("--threads", type=click.IntRange(1), help="Threads of the runtime.")
@click.option(
    "--held-out",
    default=0.3,
    show_default=True,
    type=click.FloatRange(0.05, 0.9),
    help="Share of the networks that are kept from the fit, to measure its error.",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Seed of the held-out choice.")
@click.option(
    "--rows",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "operation", "place"]),
    help="Rows per operation, or per operation and place in the network; auto: by the error in cross-validation.",
)
@click.option(
    "--idle",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "count", "ignore"]),
    help="Latency of operations that do not influence the output; auto: by the error in cross-validation.",
)
@click.option("--operators-only", is_flag=True, help="Fit no rows; price every block by its operators.")
@click.option("-o", "--out", type=OutputPath(), help="Table file.  [default: NAME.json]")
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@json_option
def command(
    space: str,
    csv: Path,
    column: str | None,
    name: str,
    batch: int,
    kind: Kind,
    processor: str,
    runtime: str,
    precision: str,
    threads: int | None,
    held_out: float,
    seed: int,
    rows: Rows,
    idle: IdleChoice,
    operators_only: bool,
    out: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Make the table NAME from end-to-end latencies of whole networks of a space, and print its held-out error.

    An architecture is an id, a genome such as "0,3,1", or a string in the notation of the space's benchmark. A few
    hundred random architectures are enough. A block gets a row if that predicts better than its operators do. Networks
    are taken as they are written, with idle operations: those that do not reach the output or that read only zeros.
    """
    from dataclasses import replace
    from datetime import date
    from math import ceil

    from nasctl import registry
    from nasctl.errors import NasctlError
    from nasctl.hardware.fitting.additive import MIN_NETWORKS, split_groups, validate_fit
    from nasctl.hardware.fitting.by_idle import fit_form
    from nasctl.hardware.skill import fit_weakness
    from nasctl.hardware.table import LatencyTable
    from nasctl.system.terminal import say

    path = table_file(name, out, fresh=not force)
    if operators_only and rows == "place":
        raise NasctlError("--operators-only fits no rows, and --rows place asks for rows; give one of them")
    timed, ms, source = _measured(space, csv, column)
    inside, held = (timed.part(part) for part in split_groups(timed.groups, held_out, seed))
    if len(inside.groups) < MIN_NETWORKS:
        raise NasctlError(
            f"Cannot fit to {csv}: with --held-out {held_out:g}, {len(inside.groups)} of {len(timed.groups)} networks "
            f"are left, which are too few to fit to: {MIN_NETWORKS} are the least. Measure "
            f"{ceil(round(MIN_NETWORKS / (1 - held_out), 6))} networks or more, or hold out fewer."
        )
    try:
        found = fit_form(inside, idle, rows, operators_only)
    except (ValueError, ArithmeticError) as failure:  # LinAlgError is a ValueError
        least, most = ms.min(), ms.max()
        raise NasctlError(f"latencies from {least:g} to {most:g} cannot be fitted; are all milliseconds?") from failure
    table = LatencyTable(name, kind, batch, {}, processor=processor, runtime=runtime, threads=threads, source=source)
    inferred = (ATTRIBUTION, *([IDLE_PRICED[found.idle]] if found.idle else []))
    table = found.fill(replace(table, precision=precision, inferred=inferred, date=date.today().isoformat()))
    spec = registry.normal("spaces", space)
    error = validate_fit(table, found.form(inside), found.form(held), HELD_OUT[found.idle], [spec])
    weakness = fit_weakness(error, found.form(inside).ms, found.form(held).ms)
    inferred = (*inferred, *([USELESS.format(weakness)] if weakness else []))
    table = replace(
        table, command=command_line("nasctl device fit", OUTPUT_OPTIONS), inferred=inferred, validation=(error,)
    )
    table.save(path)
    say(*found.remarks)
    _print_table(path, table, found, as_json)
    if weakness:
        say(f"Warning: {USELESS.format(weakness)}. Check the column of ms, or measure more networks.")
    say(f"next: nasctl device show {path} --space {space}")


def _measured(spec: str, path: Path, column: str | None) -> tuple[TimedNetworks, np.ndarray, dict[str, str]]:
    """Return the networks of a file as they are written, their latencies in ms, (N,), and the provenance of the file.

    Raises:
        NasctlError: The file cannot be read, an architecture is not of the space, or a latency is not above 0.
    """
    from hashlib import sha256

    import numpy as np

    from nasctl import registry
    from nasctl.architectures import known_values
    from nasctl.errors import NasctlError
    from nasctl.hardware.fitting.by_idle import TimedNetworks
    from nasctl.system.terminal import say

    given = known_values.read(path, spec, column)
    space = registry.create("spaces", spec)
    for genome, ms in given.values.items():
        if ms <= 0:
            text = ",".join(map(str, genome))
            raise NasctlError(f"column {given.column!r} of {path} has {ms:g} ms for {text}; a latency is above 0")
    if given.skipped:
        say(f"{given.skipped} of {given.rows} rows have no number and are left out")
    times = np.array(list(given.values.values()))
    if len(times) > 1 and np.ptp(times) == 0:
        raise NasctlError(
            f"Cannot fit to column {given.column!r} of {path}: all {len(times):,} latencies are {times[0]:g} ms, so no "
            "block can be priced. Measure with a finer clock, or name another column with --column."
        )
    timed, times = TimedNetworks.of(space, list(given.values), times)
    if repeated := given.rows - given.skipped - len(times):
        say(f"{repeated} rows are of networks that other rows have too: each network has their mean")
    file, _ = known_values.file_and_writer(path)
    source = {"data": f"column {given.column} of {file.name}", "sha256": sha256(file.read_bytes()).hexdigest()}
    return timed, times, source


def _print_table(path: Path, table: LatencyTable, found: FormFit, as_json: bool) -> None:
    """Print the path of the table, what it has, and its held-out error."""
    import json

    from msgspec.structs import asdict

    from nasctl.system.terminal import say
    from nasctl.system.terminal import table as printed

    (error,) = table.validation
    at_places = sum(map(len, table.places.values()))
    if as_json:
        facts = {"file": str(path), "method": table.method, "blocks": len(table.blocks), "overhead": table.overhead}
        choices = {"places": at_places, "idle": table.idle, "choices": found.remarks}
        click.echo(json.dumps({**facts, **choices, "digest": table.digest, "validation": [asdict(error)]}))
        return
    rows = f"{len(table.blocks)} rows of any place" if at_places else f"{len(table.blocks)} rows"
    rows += f", {at_places} rows of places" if at_places else ""
    say(f"{path}: {table.method}, {rows}, an operator model for all other blocks")
    figures = [error.number, error.mape, error.bias, error.spearman, error.kendall]
    printed(
        ["number", "MAPE %", "bias %", "Spearman", "Kendall", "held out"],
        [[*("" if one is None else one for one in figures), error.held_out]],
    )

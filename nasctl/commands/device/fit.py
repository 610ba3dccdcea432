"""The command `nasctl device fit`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nasctl.commands import json_option, space_option
from nasctl.commands.device import table_file

if TYPE_CHECKING:
    from nasctl.hardware.fitting.additive import MeasuredNetworks
    from nasctl.hardware.table import LatencyTable
    from nasctl.hardware.tables_schema import Kind
    from nasctl.problem.space import Genome

ATTRIBUTION = (
    "Only whole networks were timed: how a network's latency divides over its blocks is the fit's attribution."
)
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
@click.option("--precision", default="float32", show_default=True, help="Precision of the computation.")
@click.option("--threads", type=click.IntRange(1), help="Threads of the runtime.")
@click.option(
    "--held-out",
    default=0.3,
    show_default=True,
    type=click.FloatRange(0.05, 0.9),
    help="Share of the networks that are kept from the fit, to measure its error.",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Seed of the held-out choice.")
@click.option("--operators-only", is_flag=True, help="Fit no rows; price every block by its operators.")
@click.option("-o", "--out", type=click.Path(dir_okay=False, path_type=Path), help="Table file.  [default: NAME.json]")
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
    operators_only: bool,
    out: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Make the table NAME from end-to-end latencies of whole networks of a space, and print its held-out error.

    An architecture is an id, a genome such as "0,3,1", or a string in the notation of the space's benchmark. A few
    hundred random architectures are enough. A block gets a row if that predicts better than its operators do.
    """
    from dataclasses import replace
    from datetime import date

    from nasctl import registry
    from nasctl.errors import NasctlError
    from nasctl.hardware.fitting.additive import fit, split_networks, validate_fit
    from nasctl.hardware.table import LatencyTable
    from nasctl.system.terminal import say

    path = table_file(name, out, fresh=not force)
    data, source = _measured(space, csv, column)
    inside, held = (data.part(part) for part in split_networks(len(data.ms), held_out, seed))
    try:
        found = fit(inside, operators_only)
    except (ValueError, ArithmeticError) as failure:  # LinAlgError is a ValueError
        least, most = data.ms.min(), data.ms.max()
        raise NasctlError(f"latencies from {least:g} to {most:g} cannot be fitted; are all milliseconds?") from failure
    table = LatencyTable(name, kind, batch, {}, processor=processor, runtime=runtime, threads=threads, source=source)
    table = found.fill(replace(table, precision=precision, inferred=(ATTRIBUTION,), date=date.today().isoformat()))
    error = validate_fit(table, inside, held, "whole networks", [registry.normal("spaces", space)])
    table = replace(table, command=_command_line(), validation=(error,))
    table.save(path)
    say(found.remark)
    _print_table(path, table, as_json)
    say(f"next: nasctl device show {path} --space {space}")


def _measured(spec: str, path: Path, column: str | None) -> tuple[MeasuredNetworks, dict[str, str]]:
    """Return the distinct networks of a file with their mean latencies, and the provenance of the file.

    Raises:
        NasctlError: The file cannot be read, an architecture is not of the space, or a latency is not above 0.
    """
    from hashlib import sha256

    import numpy as np

    from nasctl import registry
    from nasctl.architectures import known_values
    from nasctl.errors import NasctlError
    from nasctl.hardware.fitting.additive import MeasuredNetworks
    from nasctl.system.terminal import say

    given = known_values.read(path, spec, column)
    space = registry.create("spaces", spec)
    times: dict[Genome, list[float]] = {}
    for genome, ms in given.values.items():
        if ms <= 0:
            text = ",".join(map(str, genome))
            raise NasctlError(f"column {given.column!r} of {path} has {ms:g} ms for {text}; a latency is above 0")
        times.setdefault(space.canonical(genome), []).append(ms)
    if given.skipped:
        say(f"{given.skipped} of {given.rows} rows have no number and are left out")
    if repeated := given.rows - given.skipped - len(times):
        say(f"{repeated} rows are of networks that other rows have too: each network has their mean")
    data = MeasuredNetworks.of(map(space.network, times), np.array([sum(each) / len(each) for each in times.values()]))
    file, _ = known_values.file_and_writer(path)
    source = {"data": f"column {given.column} of {file.name}", "sha256": sha256(file.read_bytes()).hexdigest()}
    return data, source


def _command_line() -> str:
    """Return the command line without defaults, and without folders, which mean nothing on other machines."""
    import shlex

    ctx = click.get_current_context()
    given = {option.name: ctx.params[option.name] for option in ctx.command.params if option.name in ctx.params}
    defaults = {option.name: option.get_default(ctx) for option in ctx.command.params}
    flags = []
    for name, value in given.items():
        if name in OUTPUT_OPTIONS or value is None or (value == defaults[name] and name != "kind"):
            continue
        flags.append(f"--{str(name).replace('_', '-')}")
        if value is not True:
            flags.append(shlex.quote(value.name if isinstance(value, Path) else str(value)))
    return f"nasctl device fit {' '.join(flags)}"


def _print_table(path: Path, table: LatencyTable, as_json: bool) -> None:
    """Print the path of the table, what it has, and its held-out error."""
    import json

    from msgspec.structs import asdict

    from nasctl.system.terminal import say
    from nasctl.system.terminal import table as printed

    (error,) = table.validation
    if as_json:
        facts = {"file": str(path), "method": table.method, "blocks": len(table.blocks), "overhead": table.overhead}
        click.echo(json.dumps({**facts, "digest": table.digest, "validation": [asdict(error)]}))
        return
    say(f"{path}: {table.method}, {len(table.blocks)} rows, an operator model for all other blocks")
    figures = [error.number, error.mape, error.bias, error.spearman, error.kendall]
    printed(
        ["number", "MAPE %", "bias %", "Spearman", "Kendall", "held out"],
        [[*("" if one is None else one for one in figures), error.held_out]],
    )

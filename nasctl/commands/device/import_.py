"""The command `nasctl device import`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nasctl.commands._types import OutputPath
from nasctl.commands.device import accuracy_warnings, precision_option, table_file
from nasctl.errors import NasctlError

if TYPE_CHECKING:
    from nasctl.hardware.importers._table import ImportedTable
    from nasctl.hardware.table import LatencyTable

KINDS = ("gpu", "cpu", "mobile", "accelerator")
DEFAULTS = (("kind", "mobile"), ("precision", "float32"))  # values of options that a table's command line omits


@click.command("import")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="Name of the device.")
@click.option("--csv", type=click.Path(dir_okay=False, path_type=Path), help="Times of the kit in the folder FILE.")
@click.option("--partial", is_flag=True, help="With --csv: accept times for a part of the kit's files.")
@click.option("--format", metavar="FORMAT", help="Format of the files.  [default: recognised by their keys]")
@click.option("--part", metavar="DEVICE", help="Device to import from a file that holds several.")
@click.option("--model", is_flag=True, help="Also fit an operator model to the rows, for blocks without a row.")
@click.option("--batch", type=click.IntRange(1, 65536), help="Examples per batch.  [default: 1, or the kit's]")
@click.option("--kind", default="mobile", show_default=True, type=click.Choice(KINDS), help="Kind of the device.")
@click.option("--processor", default="", help="Processor of the device.")
@click.option("--runtime", default="", help="Runtime that was timed, with its version.")
@click.option("--threads", type=click.IntRange(1), help="Threads of the runtime.")
@precision_option
@click.option("-o", "--out", type=OutputPath(), help="Table file.  [default: NAME.json]")
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
def command(
    files: tuple[Path, ...],
    name: str,
    csv: Path | None,
    partial: bool,
    out: Path | None,
    force: bool,
    **options: Any,
) -> None:
    """Make the table NAME from the times of a kit, or from a published table of block latencies.

    The times of a kit are a CSV file for the folder that `nasctl device kit` wrote. Published tables are YAML or JSON
    files, with or without gzip compression. Several files, for example of one image size each, make one table.
    """
    from nasctl.system.terminal import say

    path = table_file(name, out, fresh=not force)
    foreign = {option: options.pop(option) for option in ("format", "part", "model", "batch")}
    facts = {"name": name, "command": _command_line(), **options}
    table = _of_files(files, facts, **foreign) if csv is None else _of_kit(files, csv, partial, facts, foreign)
    table.save(path)
    say(f"{len(table.blocks)} blocks in {path}: {table.accuracy()}", *accuracy_warnings(table))
    say(f"next: nasctl device show {path}")


def _of_kit(
    files: Sequence[Path], times: Path, partial: bool, facts: dict[str, Any], foreign: dict[str, object]
) -> LatencyTable:
    """Return the table of the times of a kit.

    Raises:
        NasctlError: There is no kit, or the times do not belong to it, or an option is not for kits.
    """
    from nasctl.hardware.profiling import kit

    if given := [option for option, value in foreign.items() if value]:
        raise NasctlError(f"--{given[0]} is for foreign tables, the kit says it itself; leave it or --csv out")
    if len(files) != 1:
        raise NasctlError("--csv has the times of one kit; name its folder and nothing else")
    return kit.import_times(files[0], times, partial=partial, **facts)


def _of_files(
    files: Sequence[Path], facts: dict[str, Any], format: str | None, part: str | None, model: bool, batch: int | None
) -> LatencyTable:
    """Return the table of published rows.

    Raises:
        NasctlError: A file is not a table of a known format.
    """
    from datetime import date

    from nasctl.hardware.importers import read_source
    from nasctl.hardware.importers._table import build_table
    from nasctl.hardware.table import LatencyTable

    if folder := next((file for file in files if file.is_dir()), None):
        raise NasctlError(f"{folder} is a folder; name the files in it, or --csv if it is a kit")
    sources = [read_source(file) for file in files]
    digests = {source.path.name: f"sha256 {source.sha256}" for source in sources}
    if len(digests) < len(files):
        raise NasctlError("two of the files have the same name, which the table could not tell apart; rename one")
    facts = {**facts, "device": facts["name"], "source": digests, "date": date.today().isoformat()}
    del facts["name"]
    found = build_table(LatencyTable(batch=batch or 1, blocks={}, **facts), sources, format, part, model)
    _print_report(found)
    return found.table


def _command_line() -> str:
    """Return the command line without folders, which mean nothing on other machines."""
    given = click.get_current_context().params
    words = [path.name for path in given["files"]]
    for option, value in sorted(given.items()):
        # Options at their defaults, and those of the output file, do not change the table.
        if value and option not in ("files", "out", "force") and (option, value) not in DEFAULTS:
            text = value.name if isinstance(value, Path) else str(value)
            words += [f"--{option}"] if value is True else [f"--{option}", text]
    return shlex.join(["nasctl", "device", "import", *words])


def _print_report(found: ImportedTable) -> None:
    """Print how many rows were read and left out, the covered spaces, and the validations."""
    from nasctl.system.terminal import say, table

    say(f"{found.read} rows read, {sum(found.left_out.values())} left out")
    say(*(f"{number} left out: {reason}" for reason, number in sorted(found.left_out.items())))
    if found.repeated:
        say(f"{found.repeated} blocks have several rows, up to {found.apart:.0f}% apart: the table has their mean")
    say(f"every block of: {', '.join(found.covered) or 'no space'}")
    if not found.covered and found.nearest[0]:
        say("nearest: {}, which lacks {}".format(*found.nearest))
    if found.table.operators is None and not found.covered:
        say("--model would add an operator model, which prices what the rows lack")
    heads = ["number", "MAPE %", "bias %", "Spearman", "Kendall", "held out"]
    rows = [[one.number, one.mape, one.bias, one.spearman, one.kendall, one.held_out] for one in found.table.validation]
    if rows:
        table(heads, rows)

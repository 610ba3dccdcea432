"""`nasctl device`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nasctl.commands import json_option

if TYPE_CHECKING:
    from nasctl.hardware.profile import Step
    from nasctl.hardware.schema import Validation
    from nasctl.hardware.table import LatencyTable

# % of mean absolute error of whole networks: 11 were measured on nbmacro, 62 to 83 when the load had changed midway.
DOUBTFUL = 30.0
EVERY = 20  # measurements between two lines of progress where there is no terminal


@click.group()
def command() -> None:
    """Latency tables: list them, look into one, make one for this machine."""


@command.command("list")
@json_option
def list_devices(as_json: bool) -> None:
    """List the devices that `--device` takes, with the error of each table on what was held out."""
    import json
    from dataclasses import asdict

    from nasctl import registry
    from nasctl.hardware.table import LatencyTable
    from nasctl.report import table

    found = {name: LatencyTable.load(name) for name in registry.names("devices")}
    columns = ("kind", "processor", "runtime", "batch", "precision", "method")
    if as_json:
        facts = [
            {"name": name, **{column: getattr(one, column) for column in columns}, "validation": list(one.validation)}
            for name, one in found.items()
        ]
        click.echo(json.dumps(facts, default=asdict))
        return
    rows = [[name, *(getattr(one, column) for column in columns), one.accuracy] for name, one in found.items()]
    table(["name", *columns, "error, held out"], rows)


@command.command("show")
@click.argument("name")
@click.option("--space", metavar="SPEC", help="Show the blocks of that space in place of the table's rows.")
@json_option
def show(name: str, space: str | None, as_json: bool) -> None:
    """Show where the table NAME (or a file) comes from, how well it predicts, and its blocks in ms for one batch."""
    import json
    from dataclasses import asdict, fields

    from nasctl.hardware.table import LatencyTable
    from nasctl.report import definitions, say, table

    shown = LatencyTable.load(name)
    blocks = _rows(shown) if space is None else _of_space(shown, space)
    facts = {field.name: getattr(shown, field.name) for field in fields(shown) if field.name != "blocks"}
    if as_json:
        covered = {} if space is None else {"covers": {space: shown.covers(space)}}
        click.echo(json.dumps({**facts, "digest": shown.digest, **covered, "blocks": blocks}, default=asdict))
        return
    for plain in ("validation", "operators", "source", "inferred", "spaces"):
        facts.pop(plain)
    definitions({**facts, "digest": shown.digest, **shown.source, "validated for": "; ".join(shown.spaces)})
    for sentence in shown.inferred:
        click.echo(f"inferred: {sentence}")
    table(["number", "MAPE %", "bias %", "Spearman", "Kendall", "held out"], map(_cells, shown.validation))
    unit = f"ms (batch {shown.batch})"
    heads = ["block", unit, "origin", "IQR ms", "rounds"]
    names = ("key", "ms", "origin", "iqr", "n")
    table(heads, [["" if block[name] is None else block[name] for name in names] for block in blocks])
    if space is not None and not shown.covers(space):
        say(f"{shown.device!r} was not validated for {space}: take its figures as rough")


@command.command("profile")
@click.option("--space", "specs", multiple=True, required=True, metavar="SPEC", help="Measure its blocks. Repeatable.")
@click.option("--name", required=True, help="What to call the device.")
@click.option("--torch-device", default="cpu", show_default=True, metavar="DEVICE", help="cpu, or such as cuda:0.")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1), help="That torch may use.")
@click.option("--batch", default=1, show_default=True, type=click.IntRange(1, 65536), help="Examples at a time.")
@click.option(
    "--seconds",
    default=0.5,
    show_default=True,
    type=click.FloatRange(0, 60, min_open=True),
    envvar="NASCTL_SECONDS",
    show_envvar=True,
    help="How long to repeat each block.",
)
@click.option("-o", "--out", type=click.Path(dir_okay=False, path_type=Path), help="The table.  [default: NAME.json]")
@click.option("--force", is_flag=True, help="Write over a table of another device or setting.")
@click.pass_context
def profile(
    ctx: click.Context,
    specs: tuple[str, ...],
    name: str,
    torch_device: str,
    threads: int,
    batch: int,
    seconds: float,
    out: Path | None,
    force: bool,
) -> None:
    """Measure every distinct block of the spaces on this machine, then whole networks to check the sums.

    The file is written after every block: the same command goes on where it was stopped.
    """
    from nasctl import registry
    from nasctl.hardware.profile import BLOCKS_HELD_OUT, Host, alone
    from nasctl.hardware.profile import profile as measured
    from nasctl.report import say

    spaces = {registry.normal("spaces", s): registry.create("spaces", s) for s in registry.split(specs)}
    path = _file(name, out)
    flags = [f"--space {spec}" for spec in spaces]
    defaults = {"torch-device": (torch_device, "cpu"), "threads": (threads, 1), "batch": (batch, 1)}
    flags += [f"--{flag} {value}" for flag, (value, usual) in defaults.items() if value != usual]
    typed = f"nasctl device profile --name {name} {' '.join(flags)}"
    host = Host(name, torch_device, threads, batch, seconds)
    table = _begun(path, host.table(typed), force)
    table.save(path)  # so that a file that cannot be written is found out now
    refused: tuple[str, ...] = ()
    with alone():
        try:
            for step in _shown(measured(spaces, host, table)):
                step.table.save(path)
                table, refused = step.table, step.refused
        except KeyboardInterrupt:
            say(f"\nstopped; {path} has what was measured, the same command goes on")
            ctx.exit(130)
    if refused:
        say(f"too noisy to be believed, and not in {path}:", *(f"  {key}" for key in refused))
        say("quiet the machine and type the same command again: only these are measured")
        ctx.exit(1)
    say(f"{len(table.blocks)} blocks in {path}: {table.accuracy}")
    if any(one.mape > DOUBTFUL for one in table.validation if one.held_out != BLOCKS_HELD_OUT):
        # A machine that is busy all the time slows blocks down without making any of them noisy.
        say("the sums are far from whole networks, as where a machine was busier at times: measure again with --force")
    say(f"next: nasctl device show {path}")


def _file(name: str, out: Path | None) -> Path:
    """Where the table goes.

    Raises:
        NasctlError: The device could not be named, or the file not be given, where a table is asked for.
    """
    import re

    from nasctl.errors import NasctlError
    from nasctl.hardware.schema import NAME

    path = out or Path(f"{name}.json")
    if not re.fullmatch(NAME, name):
        raise NasctlError(f"{name!r} is no name for a device; make one of letters, digits, '.', '_' and '-'")
    if path.suffix != ".json":
        raise NasctlError(f"{path} has to end in .json, so that --device takes it for a file; name another with -o")
    return path


def _begun(path: Path, empty: LatencyTable, force: bool) -> LatencyTable:
    """The table to go on with: what is in the file if it was made in the same setting.

    Raises:
        NasctlError: The file is something else, which is left as it is.
    """
    from dataclasses import replace

    from nasctl.errors import NasctlError
    from nasctl.hardware.profile import SETTING
    from nasctl.hardware.table import LatencyTable

    if force or not path.exists():
        return empty
    found = LatencyTable.load(str(path.absolute()))
    for field in SETTING:
        if getattr(found, field) != getattr(empty, field):
            ours, theirs = (getattr(one, field) for one in (empty, found))
            raise NasctlError(
                f"{path} has the {field} {theirs!r}, not {ours!r}; name another file with -o, or add --force"
            )
    return replace(found, command=empty.command, date=empty.date)


def _shown(steps: Iterator[Step]) -> Iterator[Step]:
    """The same steps, with progress and time left on stderr."""
    import sys
    import time

    from nasctl.report import duration, say

    start, live, last = time.monotonic(), sys.stderr.isatty(), -1
    for number, step in enumerate(steps, 1):
        left = duration((time.monotonic() - start) / number * (step.total - step.done))
        text = f"{step.done} of {step.total} measured, {len(step.refused)} refused, {left} left"
        if live:
            click.echo(f"\r{text:70}", err=True, nl=step.done == step.total)
        elif step.done != last and (number % EVERY == 0 or step.done == step.total):
            say(text)
        last = step.done
        yield step


def _rows(table: LatencyTable) -> list[dict[str, object]]:
    return [
        {"key": key, "ms": row.ms, "origin": table.method, "iqr": row.iqr if row.n else None, "n": row.n or None}
        for key, row in table.blocks.items()
    ]


def _of_space(table: LatencyTable, spec: str) -> list[dict[str, object]]:
    """The blocks of a space; one that the table has no figure for is marked "missing"."""
    from nasctl import registry
    from nasctl.errors import MissingBlock
    from nasctl.hardware.blocks import distinct_blocks

    known = {str(row["key"]): row for row in _rows(table)}
    out = []
    for key, span in distinct_blocks(registry.create("spaces", spec)).items():
        try:
            figure = table.block(span.emission)
            found: dict[str, object] = {"key": key, "ms": figure.ms, "origin": figure.origin, "iqr": None, "n": None}
        except MissingBlock:
            found = {"key": key, "ms": None, "origin": "missing", "iqr": None, "n": None}
        out.append(known.get(key, found))
    return out


def _cells(one: Validation) -> list[object]:
    return [one.number, one.mape, one.bias, one.spearman, one.kendall, one.held_out]

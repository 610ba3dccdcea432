"""The command `nasctl device list`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from math import inf
from typing import TYPE_CHECKING

import click

from nasctl.commands import csv_option, json_option

if TYPE_CHECKING:
    from nasctl.hardware.table import LatencyTable
    from nasctl.hardware.tables_schema import Validation

KINDS = ("gpu", "cpu", "mobile", "accelerator")  # in the order of the list; the schema takes long to import
COLUMNS = ("kind", "processor", "runtime", "batch", "precision", "method")  # fields of a table


@click.command("list")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="Only devices of that kind; repeatable.")
@click.option(
    "--space", metavar="SPEC", help="Only tables compared with networks of that space, the best of each kind first."
)
@click.option(
    "--validated",
    is_flag=True,
    help="Only tables whose error was measured on timed networks or blocks, with --space on those of that space, and"
    " this error. Other tables were never validated, or compared with sums of the source's own figures.",
)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="All tables on a terminal, which shows those that differ only in the batch size as one, with the least error.",
)
@csv_option
@json_option
def command(
    kinds: tuple[str, ...], space: str | None, validated: bool, everything: bool, as_csv: bool, as_json: bool
) -> None:
    """List the devices that `--device` accepts, with the held-out error of each table.

    Each of gpu, cpu, mobile and accelerator stands for the table of its kind with the least error on the space. An
    error is the mean absolute error of predicted latencies in per cent; --csv and a wide terminal say on what.
    """
    import json

    from msgspec.structs import asdict

    from nasctl import registry
    from nasctl.hardware.kinds import compared_with_timings, table_rank
    from nasctl.hardware.table import LatencyTable
    from nasctl.system.terminal import say

    found = {name: LatencyTable.load(name) for name in registry.trusted("devices")}
    # Plug-ins that are not trusted are not loaded, so their kinds and validations are unknown.
    others = {} if space is not None or kinds or validated else registry.untrusted("devices")
    if space is not None:
        about = [(name, one) for name, one in found.items() if one.validated(space)]
        found = dict(sorted(about, key=lambda pair: (KINDS.index(pair[1].kind), table_rank(pair[1], space))))
    if kinds:
        found = {name: one for name, one in found.items() if one.kind in kinds}
    if validated:
        found = {name: one for name, one in found.items() if compared_with_timings(one, space)}
    if as_json:
        facts: list[dict[str, object]] = [
            {"name": name, **{column: getattr(one, column) for column in COLUMNS}, "validation": list(one.validation)}
            for name, one in found.items()
        ]
        facts += [{"name": name, **dict.fromkeys(COLUMNS), "said": said} for name, said in others.items()]
        click.echo(json.dumps(facts, default=asdict))
        return
    if not found and not others and not as_csv:
        say(_nothing_listed(kinds, space, validated))
        return
    brief = sys.stdout.isatty() and not (everything or as_csv or kinds or validated or space is not None)
    _print(_best_of_batches(found) if brief else found, others, space, validated, as_csv, len(found))


def _nothing_listed(kinds: tuple[str, ...], space: str | None, validated: bool) -> str:
    """Return the sentence for a list without a device."""
    kind = f" of the kind {' or '.join(kinds)}" if kinds else ""
    where = f" on {space}" if space is not None else ""
    compared = f" was compared with {'timed networks' if validated else 'networks'}{where}"
    return (
        f"no table{kind}{compared}; `nasctl device profile` makes one of this machine, and `nasctl device adapt`"
        " corrects one by five networks that you time"
    )


def _best_of_batches(found: Mapping[str, LatencyTable]) -> dict[str, LatencyTable]:
    """Return the tables of least error among those that differ only in the batch size, by name.

    Args:
        found: Tables by name.
    """

    def error(name: str) -> tuple[bool, float, str]:
        first = found[name].shown_validation()
        return first is None or first.against == "sums", first.mape if first else inf, name

    series: dict[tuple[str, ...], list[str]] = {}
    for name, one in found.items():
        facts = (one.kind, one.processor, one.runtime, one.precision)
        series.setdefault((*facts, *_space_names(one)), []).append(name)
    best = {min(names, key=error) for names in series.values()}
    return {name: one for name, one in found.items() if name in best}


def _space_names(table: LatencyTable) -> list[str]:
    """Return the names of the spaces that a table was compared on, without options."""
    return list(dict.fromkeys(spec.partition(":")[0] for spec in table.spaces))


def _print(
    found: Mapping[str, LatencyTable],
    others: Mapping[str, str],
    space: str | None,
    timed: bool,
    as_csv: bool,
    listed: int,
) -> None:
    """Print the tables.

    Args:
        found: Tables by name.
        others: What is said of plug-ins that are not loaded, by name.
        space: Spec of the space whose validations are shown; None for the first validation of each table.
        timed: Whether validations on timings are shown.
        as_csv: Whether the table is printed as CSV.
        listed: Number of tables, of which `found` may leave out other batch sizes of the same devices on a terminal.
    """
    from nasctl.system.terminal import TableColumn, say, table
    from nasctl.system.wording import plural

    if not as_csv and not sys.stdout.isatty():
        rows = [
            [name, *(getattr(one, key) for key in COLUMNS), one.accuracy(space, timed)] for name, one in found.items()
        ]
        rows += [[name, *[None] * len(COLUMNS), said] for name, said in others.items()]
        table(["name", *COLUMNS, "error, held out"], rows)
        return
    columns = [
        TableColumn("name"),
        TableColumn("kind", priority=2),
        TableColumn("processor", priority=3, prose=True, room=24),
        TableColumn("runtime", priority=8, prose=True),
        TableColumn("batch", "examples", priority=1, short="batch"),
        TableColumn("precision", priority=9),
        TableColumn("method", priority=7),
        TableColumn("error", "%", short="error"),
        TableColumn("Spearman", priority=4),
        TableColumn("compared with", priority=11, prose=True),
        TableColumn("against", priority=11),
        TableColumn("spaces", priority=10, prose=True),
        TableColumn("note", priority=0 if others else 12, prose=True),
    ]
    shown = list(found.items())
    if space is None and not as_csv:  # a reader looks for a kind of device first
        shown.sort(key=lambda pair: KINDS.index(pair[1].kind))
    lines = [_row(name, one.shown_validation(space, timed), one) for name, one in shown]
    lines += [[name, *[None] * (len(columns) - 2), said] for name, said in others.items()]
    table(columns, lines, as_csv=as_csv)
    against = {first.against for one in found.values() if (first := one.shown_validation(space, timed))}
    if not as_csv and "blocks" in against:
        say("blocks: compared with single blocks, not with whole networks")
    if not as_csv and "sums" in against:
        say("sums: compared with sums of the source's own figures, which nobody timed; --validated leaves them out")
    if left_out := listed - len(found):
        say(f"{plural(left_out, 'table')} of the same devices for other batch sizes: --all")


def _row(name: str, first: Validation | None, one: LatencyTable) -> list[object]:
    """Return the cells of a table, of which one validation is shown."""
    from nasctl.system.terminal import TableCell

    facts = [name, *(getattr(one, key) for key in COLUMNS)]
    if first is None:
        return [*facts, TableCell(None, terminal="never validated"), *[None] * 5]
    against = "" if first.against == "networks" else f" {first.against}"
    error = TableCell(first.mape, terminal=f"{first.mape:.1f}%{against}")
    rank = first.spearman if first.spearman is None else TableCell(first.spearman, terminal=f"{first.spearman:.4f}")
    compared = f"{first.number} {first.held_out}"
    spaces = TableCell(" ".join(one.spaces), terminal=" ".join(_space_names(one)))
    return [*facts, error, rank, compared, first.against, spaces, None]

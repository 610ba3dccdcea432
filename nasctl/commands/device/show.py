"""The command `nasctl device show`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nasctl.commands import csv_option, json_option
from nasctl.commands._complete import complete

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nasctl.hardware.table import LatencyTable
    from nasctl.hardware.tables_schema import Row, Validation


@click.command("show")
@click.argument("name", shell_complete=complete("devices"))
@click.option("--space", metavar="SPEC", help="Show the blocks of that space instead of the table's rows.")
@csv_option
@json_option
def command(name: str, space: str | None, as_csv: bool, as_json: bool) -> None:
    """Show the provenance, the held-out error and the blocks, in ms for one batch, of the table NAME or of a file.

    --csv prints the table of blocks.
    """
    import json
    from dataclasses import fields

    from msgspec.structs import asdict

    from nasctl.hardware.kinds import load_table
    from nasctl.system.terminal import TableColumn, definitions, paragraphs, say, table

    shown = load_table(name, space)
    blocks = _rows(shown) if space is None else _of_space(shown, space)
    rows = ("blocks", "places")
    facts = {field.name: getattr(shown, field.name) for field in fields(shown) if field.name not in rows}
    if as_json:
        covered = {} if space is None else {"covers": {space: shown.validated(space) is not None}}
        click.echo(json.dumps({**facts, "digest": shown.digest, **covered, "blocks": blocks}, default=asdict))
        return
    if as_csv:
        _print_blocks(blocks, shown.batch, as_csv=True)
        return
    for plain in ("validation", "operators", "source", "inferred"):
        facts.pop(plain)
    facts = {name: fact for name, fact in facts.items() if fact not in (None, {})}  # what nothing is known of
    facts = {name: _written(fact) if isinstance(fact, dict) else fact for name, fact in facts.items()}
    definitions({**facts, "digest": shown.digest, **shown.source, "validated for": "; ".join(shown.spaces)})
    for sentence in shown.inferred:
        paragraphs(f"{'noise' if sentence in shown.noise else 'inferred'}: {sentence}")
    columns = [
        TableColumn("number"),
        TableColumn("MAPE %"),
        TableColumn("bias %", priority=2),
        TableColumn("Spearman", priority=1),
        TableColumn("Kendall", priority=3),
        TableColumn("held out", prose=True),
    ]
    table(columns, map(_cells, shown.validation))
    _print_blocks(blocks, shown.batch)
    if space is not None and shown.validated(space) is None:
        say(f"{shown.device!r} was not validated for {space}: take its figures as rough")


def _written(parts: Mapping[str, float]) -> str:
    """Return the numbers of a fact by name: "alone 0.929, count 0"."""
    return ", ".join(f"{name} {value:.3g}" for name, value in parts.items())


def _print_blocks(blocks: Sequence[Mapping[str, object]], batch: int, as_csv: bool = False) -> None:
    """Print blocks: all columns in a pipe and as CSV; on a terminal the columns that are not empty.

    On a terminal the long keys come last, where they have the most room, and rows that hold at one place are a table of
    their own.

    Args:
        blocks: Blocks as `_rows` returns them.
        batch: Examples per batch.
        as_csv: Whether the table is printed as CSV.
    """
    import sys

    from nasctl.system.terminal import TableColumn, table

    placed = [("place", TableColumn("place"))] if any(block["place"] for block in blocks) else []
    numbers = [
        ("ms", TableColumn(f"ms (batch {batch})")),
        ("origin", TableColumn("origin", priority=2)),
        ("iqr", TableColumn("IQR ms", priority=1)),
        ("n", TableColumn("rounds", priority=3)),
    ]
    key = ("key", TableColumn("block", prose=True))
    if as_csv or not sys.stdout.isatty():
        columns = [key, *placed, *numbers]
        cells = [[block[name] for name, _ in columns] for block in blocks]
        table([column for _, column in columns], cells, as_csv=as_csv)
        return
    for title, at_place in (("blocks at any place", False), ("blocks at one place", True)):
        part = [block for block in blocks if bool(block["place"]) == at_place]
        if part:
            columns = [*placed, *numbers, key]
            cells = [[block[name] for name, _ in columns] for block in part]
            table([column for _, column in columns], cells, title if placed else "", as_csv=False)


def _rows(table: LatencyTable) -> list[dict[str, object]]:
    """Return the rows of the table as dictionaries, those of places last; their place is "" for rows of any place."""
    return [
        {"key": key, "place": place, "ms": row.ms, "origin": table.method, **_spread(row)}
        for place, rows in {"": table.blocks, **table.places}.items()
        for key, row in rows.items()
    ]


def _of_space(table: LatencyTable, spec: str) -> list[dict[str, object]]:
    """Return the blocks of a space as dictionaries, with the origin "missing" if the table cannot price a block.

    A block is listed for any place, and for each place that has a row of its own.
    """
    from nasctl import registry
    from nasctl.errors import MissingBlock
    from nasctl.hardware.distinct_blocks import distinct_blocks

    out: list[dict[str, object]] = []
    for key, span in distinct_blocks(registry.create("spaces", spec)).items():
        for place in ("", *(place for place, rows in table.places.items() if key in rows)):
            facts = {"key": key, "place": place, **_spread((table.places[place] if place else table.blocks).get(key))}
            try:
                figure = table.block(span.emission, place)
                out.append({**facts, "ms": figure.ms, "origin": figure.origin})
            except MissingBlock:
                out.append({**facts, "ms": None, "origin": "missing"})
    return out


def _spread(row: Row | None) -> dict[str, object]:
    """Return the spread of a row and its number of timings; None for a row that was not measured."""
    return {"iqr": row.iqr, "n": row.n} if row and row.n else {"iqr": None, "n": None}


def _cells(one: Validation) -> list[object]:
    """Return the table cells of a validation."""
    return [one.number, one.mape, one.bias, one.spearman, one.kendall, one.held_out]

"""The command `nasctl device show`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nasctl.commands import json_option

if TYPE_CHECKING:
    from nasctl.hardware.table import LatencyTable
    from nasctl.hardware.tables_schema import Validation


@click.command("show")
@click.argument("name")
@click.option("--space", metavar="SPEC", help="Show the blocks of that space instead of the table's rows.")
@json_option
def command(name: str, space: str | None, as_json: bool) -> None:
    """Show the provenance, the held-out error and the blocks, in ms for one batch, of the table NAME or of a file."""
    import json
    from dataclasses import fields

    from msgspec.structs import asdict

    from nasctl.hardware.kinds import load_table
    from nasctl.system.terminal import definitions, printable, say, table

    shown = load_table(name, space)
    blocks = _rows(shown) if space is None else _of_space(shown, space)
    facts = {field.name: getattr(shown, field.name) for field in fields(shown) if field.name != "blocks"}
    if as_json:
        covered = {} if space is None else {"covers": {space: shown.validated(space) is not None}}
        click.echo(json.dumps({**facts, "digest": shown.digest, **covered, "blocks": blocks}, default=asdict))
        return
    for plain in ("validation", "operators", "source", "inferred"):
        facts.pop(plain)
    definitions({**facts, "digest": shown.digest, **shown.source, "validated for": "; ".join(shown.spaces)})
    for sentence in shown.inferred:
        click.echo(f"inferred: {printable(sentence)}")
    table(["number", "MAPE %", "bias %", "Spearman", "Kendall", "held out"], map(_cells, shown.validation))
    unit = f"ms (batch {shown.batch})"
    heads = ["block", unit, "origin", "IQR ms", "rounds"]
    names = ("key", "ms", "origin", "iqr", "n")
    table(heads, [["" if block[name] is None else block[name] for name in names] for block in blocks])
    if space is not None and shown.validated(space) is None:
        say(f"{shown.device!r} was not validated for {space}: take its figures as rough")


def _rows(table: LatencyTable) -> list[dict[str, object]]:
    """Return the rows of the table as dictionaries."""
    return [
        {"key": key, "ms": row.ms, "origin": table.method, "iqr": row.iqr if row.n else None, "n": row.n or None}
        for key, row in table.blocks.items()
    ]


def _of_space(table: LatencyTable, spec: str) -> list[dict[str, object]]:
    """Return the blocks of a space as dictionaries, with the origin "missing" if the table cannot price a block."""
    from nasctl import registry
    from nasctl.errors import MissingBlock
    from nasctl.hardware.distinct_blocks import distinct_blocks

    out: list[dict[str, object]] = []
    for key, span in distinct_blocks(registry.create("spaces", spec)).items():
        row = table.blocks.get(key)
        rest = {"iqr": row.iqr, "n": row.n} if row and row.n else {"iqr": None, "n": None}
        try:
            figure = table.block(span.emission)
            out.append({"key": key, "ms": figure.ms, "origin": figure.origin, **rest})
        except MissingBlock:
            out.append({"key": key, "ms": None, "origin": "missing", **rest})
    return out


def _cells(one: Validation) -> list[object]:
    """Return the table cells of a validation."""
    return [one.number, one.mape, one.bias, one.spearman, one.kendall, one.held_out]

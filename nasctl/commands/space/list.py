"""The command `nasctl space list`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import click

from nasctl.commands import csv_option, json_option

if TYPE_CHECKING:
    from nasctl.system.terminal import TableCell

LARGE = 10**6  # genomes: larger spaces are shown with a power of ten


@click.command("list")
@csv_option
@json_option
def command(as_csv: bool, as_json: bool) -> None:
    """List the search spaces with their sizes."""
    import inspect
    import json

    from nasctl import registry
    from nasctl.system.terminal import TableColumn, table

    rows: list[tuple[str, int | None, int | None, str]] = []
    for name in registry.trusted("spaces"):
        summary = (inspect.getdoc(registry.load("spaces", name)) or "").partition("\n")[0]
        if option := registry.required_option("spaces", name):
            rows.append((name, None, None, f"{summary} Needs {name}:{option}=..."))
            continue
        space = registry.create("spaces", name)
        size = math.prod(len(gene.choices) for gene in space.genes)
        rows.append((name, len(space.genes), size, registry.with_aliases("spaces", name, summary)))
    for name, said in registry.untrusted("spaces").items():
        rows.append((name, None, None, said))
    if as_json:
        click.echo(json.dumps([dict(zip(("name", "genes", "genomes", "summary"), row, strict=True)) for row in rows]))
    else:
        columns = [
            TableColumn("space"),
            TableColumn("genes", priority=1),
            TableColumn("genomes"),
            TableColumn("summary", prose=True, pipe="", short="what it is", room=34),
        ]
        lines = []
        for name, genes, genomes, summary in rows:
            lines.append([name, genes, None if genomes is None else _size_cell(genomes), summary])
        table(columns, lines, as_csv=as_csv)


def _size_cell(genomes: int) -> TableCell:
    """Return the cell of a number of genomes, which CSV has in full."""
    from nasctl.system.terminal import TableCell

    return TableCell(genomes, f"{genomes:.3g}", f"{genomes:.2e}" if genomes >= LARGE else f"{genomes:,}")

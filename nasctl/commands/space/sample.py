"""The command `nasctl space sample`."""

from __future__ import annotations

import click

from nasctl.commands import csv_option, json_option
from nasctl.commands._complete import complete


@click.command("sample")
@click.argument("space", shell_complete=complete("spaces"))
@click.option(
    "-n", "--number", default=10, show_default=True, type=click.IntRange(1, 10**6), help="Number of architectures."
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Seed of the sample.")
@csv_option
@json_option
def command(space: str, number: int, seed: int, as_csv: bool, as_json: bool) -> None:
    """Draw distinct architectures of SPACE at random."""
    import json

    from nasctl import registry
    from nasctl.architectures import ids
    from nasctl.evaluation import ranges
    from nasctl.system.terminal import TableColumn, measured, table

    made = registry.create("spaces", space)
    rows = []
    for genome in ranges.sample(made, number, seed):
        network, name = made.network(genome), ids.encode(space, made.genes, genome)
        rows.append((name, genome, network.params, network.macs))
    if as_json:
        click.echo(json.dumps([dict(zip(("id", "genome", "params", "macs"), row, strict=True)) for row in rows]))
        return
    columns = [
        TableColumn("id"),
        TableColumn("params", "parameters", pipe="params"),
        TableColumn("MACs", "MACs"),
        TableColumn("genome", priority=1),
    ]
    lines = [
        [name, measured(params, "parameters"), measured(macs, "MACs"), ",".join(map(str, genome))]
        for name, genome, params, macs in rows
    ]
    table(columns, lines, as_csv=as_csv)

"""The command `nasctl space list`."""

from __future__ import annotations

import math

import click

from nasctl.commands import json_option


@click.command("list")
@json_option
def command(as_json: bool) -> None:
    """List the search spaces with their sizes."""
    import inspect
    import json

    from nasctl import registry
    from nasctl.system.terminal import table

    rows = []
    for name in registry.trusted("spaces"):
        space = registry.create("spaces", name)
        summary = (inspect.getdoc(type(space)) or "").partition("\n")[0]
        size = math.prod(len(gene.choices) for gene in space.genes)
        rows.append(
            {
                "name": name,
                "genes": len(space.genes),
                "genomes": size,
                "summary": registry.with_aliases("spaces", name, summary),
            }
        )
    for name, said in registry.untrusted("spaces").items():
        rows.append({"name": name, "genes": None, "genomes": None, "summary": said})
    if as_json:
        click.echo(json.dumps(rows))
    else:
        table(
            ["space", "genes", "genomes", ""],
            [[r["name"], r["genes"], r["genomes"] and f"{r['genomes']:.3g}", r["summary"]] for r in rows],
        )

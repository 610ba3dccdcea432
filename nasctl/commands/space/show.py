"""The command `nasctl space show`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nasctl.commands import csv_option, force_option, json_option, plot_option
from nasctl.commands._complete import complete

if TYPE_CHECKING:
    from nasctl.architectures.architecture import Architecture
    from nasctl.problem.space import Gene, SearchSpace


MANY = 20  # genes: more are shown by groups on a terminal
TOTALS = {"params": "parameters", "macs": "MACs", "memory": "bytes"}  # headings in tables


@click.command("show")
@click.argument("space", shell_complete=complete("spaces"))
@plot_option
@force_option
@csv_option
@json_option
def command(space: str, plot: Path | None, force: bool, as_csv: bool, as_json: bool) -> None:
    """Show the genes, the options and the sizes of SPACE, such as nb201 or nb201:channels=8.

    The median network is the median by MACs of a random sample. --plot draws this network.
    --csv prints the table of genes.
    """
    import inspect
    import json

    from nasctl import registry
    from nasctl.commands.show import picture
    from nasctl.problem.space import choice_value, default_fidelity, levels
    from nasctl.system.terminal import TableColumn, measured, paragraphs, table

    made = registry.create("spaces", space)
    found, proven = _networks(made, space)
    if plot:
        picture(plot, found["median"], force)
    rows = {name: {key: one.facts()[key] for key in ("id", *TOTALS)} for name, one in found.items()}
    described = {
        "space": registry.spelled_out("spaces", space),
        "genomes": math.prod(len(gene.choices) for gene in made.genes),
        "input": list(made.input.shape),
        "fidelity": {name: str(level) for name, level in levels(made).items()},
        "networks": {**rows, "proven": proven},
        "genes": {gene.name: list(map(choice_value, gene.choices)) for gene in made.genes},
    }
    if as_json:
        click.echo(json.dumps(described))
        return
    if as_csv:
        _print_genes(made.genes, as_csv)
        return
    paragraphs(inspect.getdoc(type(made)) or "")
    shape = "x".join(map(str, made.input.shape))
    paragraphs(f"\n{described['space']}\n{described['genomes']:.4g} genomes; input {shape}")
    columns = [TableColumn("network, by MACs"), TableColumn("id")]
    columns += [TableColumn(unit, unit, priority=k, short=key) for k, (key, unit) in enumerate(TOTALS.items(), 1)]
    lines = [
        [name, *(measured(value, TOTALS[key]) if key in TOTALS else value for key, value in row.items())]
        for name, row in rows.items()
    ]
    table(columns, lines)
    paragraphs(f"smallest and largest are {'proven' if proven else 'the extremes that a quick search finds'}\n")
    fidelities = [TableColumn("fidelity"), TableColumn("metrics are computed at", prose=True)]
    table(fidelities, [[name, str(level)] for name, level in levels(made).items()])
    paragraphs(f"the default is {default_fidelity(made)}\n")
    _print_genes(made.genes, as_csv)


def _print_genes(genes: Sequence[Gene], as_csv: bool) -> None:
    """Print a line for each gene; on a terminal, one for all genes of a large space that end alike and choose alike."""
    import sys

    from nasctl.problem.space import choice_text
    from nasctl.system.terminal import TableColumn, table

    groups: dict[tuple[str, str], list[str]] = {}
    for gene in genes:
        choices = " ".join(choice_text(choice).replace(" ", "") for choice in gene.choices)
        groups.setdefault((gene.name.rpartition(".")[2], choices), []).append(gene.name)
    if as_csv or not sys.stdout.isatty() or len(genes) <= MANY or len(groups) > MANY:
        rows = [[gene.name, " ".join(map(choice_text, gene.choices))] for gene in genes]
        table([TableColumn("gene"), TableColumn("choices", prose=True)], rows, as_csv=as_csv)
        return
    lines = [[_range_text(names), len(names), choices] for (_, choices), names in groups.items()]
    columns = [TableColumn("genes", prose=True), TableColumn("number", priority=1), TableColumn("choices", prose=True)]
    table(columns, lines, as_csv=False)


def _range_text(names: Sequence[str]) -> str:
    """Return the names of genes, or the first and the last of many."""
    return ", ".join(names) if len(names) < 3 else f"{names[0]} ... {names[-1]}"


def _networks(made: SearchSpace, space: str) -> tuple[dict[str, Architecture], bool]:
    """Return the architectures with the fewest, the median and the most MACs, and whether the extremes are proven.

    The median and the extremes are those of `space profile`.
    """
    from nasctl.architectures.architecture import architecture
    from nasctl.evaluation import ranges
    from nasctl.search.metrics import make_objective

    _, macs = make_objective("macs", space)
    reach = ranges.bounds(made, macs, exhaust=False)  # enumerating the space would take seconds
    drawn = sorted(ranges.sample(made), key=lambda genome: made.network(genome).macs)
    genomes = {"smallest": reach.ends[0], "median": drawn[(len(drawn) - 1) // 2], "largest": reach.ends[1]}
    return {name: architecture(space, genome) for name, genome in genomes.items()}, reach.proven

"""The command `nasctl space show`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nasctl.commands import force_option, json_option, plot_option
from nasctl.commands._complete import complete

if TYPE_CHECKING:
    from nasctl.architectures.architecture import Architecture
    from nasctl.problem.space import SearchSpace


TOTALS = {"params": "parameters", "macs": "MACs", "memory": "bytes"}  # headings in tables


@click.command("show")
@click.argument("space", shell_complete=complete("spaces"))
@plot_option
@force_option
@json_option
def command(space: str, plot: Path | None, force: bool, as_json: bool) -> None:
    """Show the genes, the options and the sizes of SPACE, which is NAME or NAME:key=value,...

    The median network is the median by MACs of a random sample. --plot draws this network.
    """
    import inspect
    import json

    from nasctl import registry
    from nasctl.commands.show import picture
    from nasctl.problem.space import default_fidelity, levels
    from nasctl.system.terminal import quantity, table

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
        "genes": {gene.name: list(gene.choices) for gene in made.genes},
    }
    if as_json:
        click.echo(json.dumps(described))
        return
    click.echo(inspect.getdoc(type(made)))
    shape = "x".join(map(str, made.input.shape))
    click.echo(f"\n{described['space']}\n{described['genomes']:.4g} genomes; input {shape}")
    table(
        ["network, by MACs", "id", *TOTALS.values()],
        [[name, *(quantity(v, TOTALS[k]) if k in TOTALS else v for k, v in row.items())] for name, row in rows.items()],
    )
    click.echo(f"smallest and largest are {'proven' if proven else 'the extremes that a quick search finds'}\n")
    table(["fidelity", "metrics are computed at"], [[name, str(level)] for name, level in levels(made).items()])
    click.echo(f"the default is {default_fidelity(made)}\n")
    table(["gene", "choices"], [[gene.name, " ".join(map(str, gene.choices))] for gene in made.genes])


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

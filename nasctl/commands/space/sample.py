"""The command `nasctl space sample`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nasctl.commands import csv_option, json_option, store_option
from nasctl.commands._complete import complete

if TYPE_CHECKING:
    from nasctl.problem.space import Genome, SearchSpace


@click.command("sample")
@click.argument("space", shell_complete=complete("spaces"))
@click.option(
    "-n", "--number", default=10, show_default=True, type=click.IntRange(1, 10**6), help="Number of architectures."
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Seed of the sample.")
@click.option(
    "--from",
    "supernet",
    metavar="NAME",
    help="Draw from the probabilities that the supernet NAME has learned, in place of equal ones. NAME is a supernet of"
    " the store, or the path of its weights.",
)
@store_option
@csv_option
@json_option
def command(space: str, number: int, seed: int, supernet: str | None, store: str, as_csv: bool, as_json: bool) -> None:
    """Draw distinct architectures of SPACE at random.

    With --from, the share of 1,000 draws or more that gave each architecture is printed too: it estimates the
    probability. Fewer architectures are printed if 100 times as many draws find no more.
    """
    import json

    from nasctl import registry
    from nasctl.architectures import ids
    from nasctl.evaluation import ranges
    from nasctl.system.terminal import TableColumn, measured, table

    made = registry.create("spaces", space)
    shares = None if supernet is None else _drawn(supernet, store, made, space, number, seed)
    rows = []
    for genome in ranges.sample(made, number, seed) if shares is None else shares:
        network = made.network(genome)
        row: dict[str, Any] = {"id": ids.encode(space, made.genes, genome), "genome": genome}
        rows.append({**row, "params": network.params, "macs": network.macs})
        if shares is not None:
            rows[-1]["share"] = shares[genome]
    if as_json:
        click.echo(json.dumps(rows))
        return
    columns = [
        TableColumn("id"),
        TableColumn("params", "parameters", pipe="params"),
        TableColumn("MACs", "MACs"),
        *([] if shares is None else [TableColumn("share", "%")]),
        TableColumn("genome", priority=1),
    ]
    lines = []
    for row in rows:
        share = [] if shares is None else [100 * row["share"]]
        sizes = measured(row["params"], "parameters"), measured(row["macs"], "MACs")
        lines.append([row["id"], *sizes, *share, ",".join(map(str, row["genome"]))])
    table(columns, lines, as_csv=as_csv)


def _drawn(name: str, store: str, space: SearchSpace, spec: str, number: int, seed: int) -> dict[Genome, float]:
    """Return genomes drawn from what a supernet has learned, with the share of the draws that gave each.

    Raises:
        NasctlError: The supernet learned no choices, or is one of another space.
    """
    from nasctl.errors import NasctlError
    from nasctl.supernets.folder import weights_of
    from nasctl.supernets.learned_choices import draws
    from nasctl.supernets.trained_supernet import TrainedSupernet
    from nasctl.system.terminal import plural, say

    supernet = TrainedSupernet(weights_of(name, store))
    if [(one.name, one.choices) for one in space.genes] != [(one.name, one.choices) for one in supernet.space.genes]:
        raise NasctlError(
            f"Cannot draw architectures of {spec} from the supernet {supernet.name}: it was trained on"
            f" {supernet.facts.space}, which has other genes. Give that space."
        )
    found = draws(supernet, number, seed)
    if len(found) < number:
        say(f"the draws gave {plural(len(found), 'different architecture')}, not {number:,}: the choices are decided")
    return found

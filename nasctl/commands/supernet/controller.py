"""`nasctl supernet controller`."""

from __future__ import annotations

import click

from nasctl.commands import csv_option, json_option, store_option
from nasctl.commands._complete import complete


@click.command()
@click.argument("name", shell_complete=complete("supernets"))
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Seed of the random genomes.")
@store_option
@csv_option
@json_option
def command(name: str, seed: int, store: str, as_csv: bool, as_json: bool) -> None:
    """Show whether the controller of the supernet NAME conditions its choices on those before.

    NAME is a supernet that was trained by the strategy enas, or the path of its weights. Random genomes are read by the
    trained controller, and by one with its initial weights.

    The table has how much the probabilities of the next choice change with the choices before (total variation
    distance, 0 to 1), the share of choices that a linear read-out tells from the last hidden state, and the rank
    correlations of the similarity of hidden states with the similarity of genomes and of networks.
    """
    import json
    from dataclasses import asdict

    from nasctl.errors import NasctlError
    from nasctl.supernets.conditioning import conditionings
    from nasctl.supernets.folder import weights_of
    from nasctl.supernets.trained_supernet import TrainedSupernet
    from nasctl.system.terminal import TableColumn, table

    supernet = TrainedSupernet(weights_of(name, store))
    found = conditionings(supernet, seed)
    if found is None:
        raise NasctlError(
            f"Cannot examine the controller of the supernet {supernet.name}: its strategy {supernet.facts.strategy} has"
            " none. Give a supernet that was trained by enas."
        )
    if as_json:
        click.echo(json.dumps({"supernet": supernet.name, **{key: asdict(one) for key, one in found.items()}}))
        return
    measures = {
        "change of the next choice with the past": "change",
        "choices told from the state": "recalled",
        "choices told without the state": "guessed",
        "correlation of states with genomes": "genomes",
        "correlation of states with networks": "graphs",
    }
    columns = [TableColumn("measure", prose=True, room=30), *(TableColumn(key) for key in found)]
    rows = [[label, *(round(getattr(one, key), 3) for one in found.values())] for label, key in measures.items()]
    table(columns, rows, as_csv=as_csv)

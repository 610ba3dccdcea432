"""`nasctl supernet show`."""

from __future__ import annotations

from pathlib import Path

import click

from nasctl.commands import csv_option, force_option, json_option, store_option


@click.command()
@click.argument("name")
@click.option(
    "--plot",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Draw learning curves, accuracy over MACs, and visits of the slots. FILE is a .png, .svg or .pdf.",
)
@force_option
@store_option
@csv_option
@json_option
def command(name: str, plot: Path | None, force: bool, store: str, as_csv: bool, as_json: bool) -> None:
    """Show the supernet NAME: what was trained, how far it is, its results, the visits of its slots, and its files.

    For a strategy that learns choices, a table has the most probable choice of each gene, and --plot the probabilities
    over the training. --csv prints the probabilities of all choices alone.
    """
    import json

    from nasctl.errors import NasctlError
    from nasctl.supernets.rows import find_supernet, supernet_facts, supernet_row, visits_of
    from nasctl.system.terminal import definitions, say

    if plot is not None:
        from nasctl.drawing.canvas import check_free

        check_free(plot, force)
    folder = find_supernet(name, store)
    row, visits = supernet_row(folder), visits_of(folder)
    if plot is not None:
        from nasctl.supernets.learned_choices import history_of
        from nasctl.supernets.plot import draw_supernet
        from nasctl.training.training_log import read_log

        if visits is None:
            raise NasctlError(
                f"Cannot draw the supernet {row['supernet']}: it has no checkpoint yet. Let its training run."
            )
        draw_supernet(plot, row, read_log(folder.log), visits, history_of(folder))
        say(f"the picture of the supernet is in {plot}")
    if as_json:
        slots = None if visits is None else {"each": visits.tolist(), "never": int((visits == 0).sum())}
        click.echo(json.dumps({**row, "visits": slots}))
        return
    choices = row["choices"]
    if as_csv and not choices:
        raise NasctlError(
            f"Cannot print the choices of the supernet {row['supernet']} as CSV: its strategy has learned none. Leave"
            " out --csv, or give --json."
        )
    if not as_csv:
        definitions(supernet_facts(row, visits))
    if choices:
        _print_choices(choices["probabilities"], as_csv)


def _print_choices(probabilities: dict[str, dict[str, float]], as_csv: bool) -> None:
    """Print the learned probabilities: a row for each gene, or for each choice of each gene in CSV."""
    from nasctl.supernets.learned_choices import choice_rows
    from nasctl.system.terminal import TableColumn, table

    if as_csv:
        rows = [[gene, *one] for gene, shares in probabilities.items() for one in shares.items()]
        table(["gene", "choice", "probability"], rows, as_csv=True)
        return
    columns = [
        TableColumn("gene"),
        TableColumn("best choice"),
        TableColumn("probability"),
        TableColumn("entropy", "bits", priority=1),
        TableColumn("other choices", priority=2, prose=True),
    ]
    click.echo()
    table(columns, choice_rows(probabilities), title="learned choices", as_csv=False)

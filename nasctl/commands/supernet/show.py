"""`nasctl supernet show`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nasctl.commands import csv_option, force_option, json_option, store_option
from nasctl.commands._complete import complete
from nasctl.commands._types import OutputPath, file_in
from nasctl.problem.defaults import DEFAULT_STORE

if TYPE_CHECKING:
    import numpy as np

    from nasctl.training.folder import TrainingFolder

IMAGES = 500  # validation images that the networks of --sample are evaluated on


@click.command()
@click.argument("name", shell_complete=complete("supernets"))
@click.option(
    "--plot",
    metavar="FILE",
    type=OutputPath(),
    help="Draw learning curves, accuracy over MACs, and visits of the slots. FILE is a .png, .svg or .pdf.",
)
@click.option(
    "--sample",
    type=click.IntRange(1, 10_000),
    metavar="N",
    help="Evaluate N random networks on 500 validation images for the panel of --plot with accuracy over MACs.",
)
@click.option(
    "--table",
    metavar="FILE.csv",
    type=OutputPath(),
    help="Write the block table, a loss of every choice of every gene, for --searcher additive_front:table=FILE.csv.",
)
@click.option(
    "--networks",
    type=click.IntRange(2, 100_000),
    metavar="N",
    help="Random networks that --table is fitted to.  [default: four for each choice]",
)
@force_option
@store_option
@csv_option
@json_option
def command(
    name: str,
    plot: Path | None,
    sample: int | None,
    table: Path | None,
    networks: int | None,
    force: bool,
    store: str,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Show the supernet NAME: what was trained, how far it is, its results, the visits of its slots, and its files.

    For a strategy that learns choices, a table has the most probable choice of each gene, and --plot the probabilities
    over the training. --csv prints the probabilities of all choices alone. --sample judges networks as `nasctl
    supernet evaluate NAME --sample N --images 500` does.
    """
    import json

    from nasctl.errors import NasctlError
    from nasctl.supernets.rows import find_supernet, supernet_facts, supernet_row, visits_of
    from nasctl.system.terminal import definitions, say

    if networks is not None and table is None:
        raise NasctlError("Cannot use --networks without --table: it counts the networks of a table. Add --table.")
    if sample is not None and plot is None:
        raise NasctlError("Cannot use --sample without --plot: it counts the networks of a picture. Add --plot.")
    folder = find_supernet(name, store)
    if plot is not None:
        from nasctl.drawing.canvas import check_free

        check_free(plot := file_in(plot, f"{folder.path.name}.png"), force)
    if table is not None:
        _check_table(table := file_in(table, f"{folder.path.name}.csv"), force)
    row, visits = supernet_row(folder), visits_of(folder)
    choices = row["choices"]
    if as_csv and not as_json and not choices:
        raise NasctlError(
            f"Cannot print the choices of the supernet {row['supernet']} as CSV: its strategy has learned none. Leave"
            " out --csv, or give --json."
        )
    if plot is not None:
        _draw(folder, row if sample is None else {**row, **_sampled(folder, sample)}, visits, plot)
        say(f"the picture of the supernet is in {plot}")
    if table is not None:
        say(*_write_table(folder, table, networks, store))
    if as_json:
        slots = None if visits is None else {"each": visits.tolist(), "never": int((visits == 0).sum())}
        click.echo(json.dumps({**row, "visits": slots}))
        return
    if not as_csv:
        definitions(supernet_facts(row, visits))
    if choices:
        _print_choices(choices["probabilities"], as_csv)


def _draw(folder: TrainingFolder, row: dict[str, Any], visits: np.ndarray | None, plot: Path) -> None:
    """Draw the picture of a supernet."""
    from nasctl.errors import NasctlError
    from nasctl.supernets.learned_choices import history_of
    from nasctl.supernets.plot import draw_supernet
    from nasctl.training.training_log import read_log

    if visits is None:
        raise NasctlError(
            f"Cannot draw the supernet {row['supernet']}: it has no checkpoint yet. Let its training run."
        )
    draw_supernet(plot, row, read_log(folder.log), visits, history_of(folder))


def _sampled(folder: TrainingFolder, number: int) -> dict[str, Any]:
    """Return the fields of a supernet's row that have results and costs, for the extremes and random networks.

    Raises:
        NasctlError: The training has not ended, or none of these networks has a result.
    """
    from nasctl.candidates.determinism import deterministic_torch
    from nasctl.errors import NasctlError
    from nasctl.supernets.subnet_rows import extremes_and_sample, subnet_rows
    from nasctl.supernets.trained_supernet import TrainedSupernet
    from nasctl.supernets.validation import stored_batches
    from nasctl.system.terminal import counted, say

    if not folder.weights.exists():
        raise NasctlError(
            f"Cannot evaluate networks of the supernet {folder.path.name}: its training has not ended. Let it run to"
            " its end, or leave out --sample."
        )
    supernet = TrainedSupernet(folder.weights)
    chosen = extremes_and_sample(supernet, number, seed=0)
    with deterministic_torch(1):
        rows = list(counted(subnet_rows(supernet, chosen, stored_batches(supernet, IMAGES)), len(chosen), "evaluated"))
    known = {one.name: one for one in rows if one.result is not None}
    if not known:
        raise NasctlError(f"Cannot draw a sample of networks: {rows[0].failure}. Leave out --sample.")
    if len(known) < len(rows):
        say(f"{len(rows) - len(known)} of {len(rows)} networks are left out: training has not reached their weights")
    results = {name: one.result.asdict() for name, one in known.items() if one.result is not None}
    return {"results": {"validation": results}, "judged": {name: {"macs": one.macs} for name, one in known.items()}}


def _check_table(path: Path, force: bool) -> None:
    """Check, before any work, that a table can be written at a path."""
    from nasctl.errors import NasctlError

    if path.suffix.lower() != ".csv":
        raise NasctlError(f"Cannot write a table to {path}: tables are CSV files. Give a name that ends in .csv.")
    if path.exists() and not force:
        raise NasctlError(f"{path} exists; give another name, or replace it with --force")


def _write_table(folder: TrainingFolder, path: Path, networks: int | None, store: str) -> list[str]:
    """Write the block table of a supernet, and return sentences about it; the last is the search to type next."""
    from nasctl.analysis.block_table import block_table
    from nasctl.candidates.determinism import deterministic_torch
    from nasctl.errors import NasctlError
    from nasctl.supernets.trained_supernet import TrainedSupernet
    from nasctl.system.terminal import plural

    if not folder.weights.exists():
        raise NasctlError(
            f"Cannot write a table of the supernet {folder.path.name}: its training has not ended. Let it run to its"
            " end."
        )
    supernet = TrainedSupernet(folder.weights)
    with deterministic_torch(1):
        found = block_table(supernet, networks)
    found.write(path)
    said = [
        f"the block table is in {path}: sums over genes, fitted to half of {plural(found.networks, 'random network')},"
        f" order the other half with Kendall's tau {found.tau:.2f} and explain {found.share:.0%} of its variance"
    ]
    if found.left_out:
        why = "training has not reached some of their weights, or the loss is not finite"
        said.append(f"{plural(found.left_out, 'network')} left out: {why}")
    if found.absent:
        said.append(f"{plural(found.absent, 'choice')} in none of these networks: the mean of the gene stands there")
    command = f"next: nasctl search --space {supernet.facts.space} -o {found.column},macs"
    beside = "" if store == DEFAULT_STORE else f" --store {shlex.quote(store)}"
    return [*said, f"{command} --searcher {shlex.quote(f'additive_front:table={path}')}{beside}"]


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

"""`nasctl supernet evaluate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nasctl.commands import csv_option, json_option, store_option
from nasctl.commands._complete import complete
from nasctl.commands._setting import SEED_RANGE, threads_option, torch_device_option
from nasctl.errors import NasctlError

if TYPE_CHECKING:
    from nasctl.data import Part
    from nasctl.problem.space import Genome
    from nasctl.supernets.subnet_rows import SubnetRow
    from nasctl.supernets.trained_supernet import TrainedSupernet
    from nasctl.system.terminal import TableColumn

DRAWN = 8  # random networks that are evaluated if no network is named


@click.command("evaluate")
@click.argument("name", shell_complete=complete("supernets"))
@click.option(
    "--arch",
    "archs",
    multiple=True,
    metavar="ID|FILE",
    shell_complete=complete("ids"),
    help="An id, its unique beginning, or a genome such as 0,3,1; or a file with one per line. Repeatable.",
)
@click.option(
    "--sample",
    type=click.IntRange(1, 100_000),
    metavar="N",
    help=f"Evaluate the largest and the smallest network, and N random ones.  [default: {DRAWN}, without --arch]",
)
@click.option("--seed", default=0, show_default=True, type=SEED_RANGE, help="Seed of --sample.")
@click.option(
    "--images",
    default=1000,
    show_default=True,
    type=click.IntRange(1),
    help="Images, or rows of words, to evaluate on; the supernet's file has 1,000 validation images at most.",
)
@click.option(
    "--data",
    metavar="DATA",
    help="Evaluate on a part of this data, split as for the supernet.  [default: validation images in its file]",
)
@click.option(
    "--part",
    default="validation",
    show_default=True,
    type=click.Choice(["validation", "test"]),
    help="Part of --data. Only test images have neither trained the weights nor chosen a network in a search.",
)
@torch_device_option
@threads_option
@store_option
@csv_option
@json_option
def command(
    name: str,
    archs: tuple[str, ...],
    sample: int | None,
    seed: int,
    images: int,
    data: str | None,
    part: Part,
    torch_device: str,
    threads: int,
    store: str,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Evaluate networks with their shares of the weights of the supernet NAME.

    NAME may also be the path of the weights. Batch-norm statistics are calibrated for each network. On validation
    images, the values are those of the objectives accuracy@NAME and loss@NAME on as many images. A network that a
    search has chosen by these is judged fairly on test images alone: --data DATA --part test.
    """
    import json

    from nasctl.candidates.determinism import deterministic_torch, usable_device
    from nasctl.supernets.folder import weights_of
    from nasctl.supernets.subnet_rows import subnet_rows
    from nasctl.supernets.trained_supernet import TrainedSupernet
    from nasctl.supernets.validation import named_batches, stored_batches
    from nasctl.system.terminal import counted, plural, say, table

    if part == "test" and data is None:
        raise NasctlError("Cannot evaluate on test images: the supernet's file has none. Give --data DATA.")
    device = usable_device(torch_device)
    supernet = TrainedSupernet(weights_of(name, store))
    batches = stored_batches(supernet, images) if data is None else named_batches(supernet, data, images, part)
    chosen = _chosen(supernet, archs, sample, seed, store)
    number = sum(len(labels) for _, labels in batches)
    what = "image" if supernet.facts.task == "classes" else "row"
    say(f"evaluating on {plural(number, f'{part} {what}')} of {data or supernet.facts.data}")
    with deterministic_torch(threads):
        rows = list(counted(subnet_rows(supernet, chosen, batches, device), len(chosen), "evaluated"))
    ids = [_id(supernet, row.genome) for row in rows]
    say(*(f"{arch}: {row.failure}" for arch, row in zip(ids, rows, strict=True) if row.failure))
    if as_json:
        click.echo(json.dumps([{"id": arch, **row.asdict()} for arch, row in zip(ids, rows, strict=True)]))
        return
    table(_columns(supernet, rows), [_cells(arch, row) for arch, row in zip(ids, rows, strict=True)], as_csv=as_csv)


def _chosen(
    supernet: TrainedSupernet, archs: tuple[str, ...], sample: int | None, seed: int, store: str
) -> list[tuple[str, Genome]]:
    """Return names and genomes of the networks to evaluate.

    Raises:
        NasctlError: An architecture does not exist, or is no network of the supernet's space.
    """
    from nasctl import registry
    from nasctl.architectures.listed import resolve_all
    from nasctl.store.store import Store
    from nasctl.supernets.subnet_rows import extremes_and_sample
    from nasctl.supernets.subnets import check_space

    asked = resolve_all(archs, Store.reading(store), supernet.facts.space)
    for spec in dict.fromkeys(spec for spec, _ in asked):
        check_space(supernet, registry.create("spaces", spec), spec)
    named = [("", supernet.space.canonical(genome)) for _, genome in asked]
    if archs and sample is None:
        return named
    return named + extremes_and_sample(supernet, DRAWN if sample is None else sample, seed)


def _id(supernet: TrainedSupernet, genome: Genome) -> str:
    from nasctl.architectures import ids

    return ids.encode(supernet.facts.space, supernet.space.genes, genome)


def _columns(supernet: TrainedSupernet, rows: list[SubnetRow]) -> list[TableColumn]:
    from nasctl.system.terminal import TableColumn

    quality = (
        [TableColumn("accuracy", "%", priority=1), TableColumn("error", "%", priority=2)]
        if supernet.facts.task == "classes"
        else [TableColumn("perplexity", priority=1), TableColumn("error", "nats", priority=2)]
    )
    costs = [TableColumn("macs", "MACs", priority=3), TableColumn("params", "parameters", priority=4)]
    return [
        TableColumn("id"),
        TableColumn("network", priority=5),
        *quality,
        TableColumn("loss", "nats", priority=1),
        *costs,
    ]


def _cells(arch: str, row: SubnetRow) -> list[object]:
    """Return the cells of a row; its accuracy and the standard error are in per cent."""
    from nasctl.system.terminal import TableCell

    found = row.result
    if found is None:
        failed = TableCell(None, "failed", "failed")
        return [arch, row.name, failed, "", failed, row.macs, row.params]
    shown = (100 * found.accuracy, 100 * found.error) if found.accuracy is not None else (found.perplexity, found.error)
    return [arch, row.name, *shown, found.loss, row.macs, row.params]


__all__ = ["command"]

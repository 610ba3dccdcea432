"""The command `nasctl show`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nasctl.commands import csv_option, force_option, json_option, plot_option, store_option
from nasctl.commands._complete import complete
from nasctl.commands._types import file_in
from nasctl.hardware.pricing import NetworkLatency, held_out_error, latency_facts, load_tables, price

if TYPE_CHECKING:
    from nasctl.architectures.architecture import Architecture
    from nasctl.hardware.table import BlockLatency
    from nasctl.networks.graph import Network, Span
    from nasctl.networks.node import Shape
    from nasctl.store.training_table import TrainingRecord
    from nasctl.system.terminal import TableCell


MODELLED = "~ modelled: the device's table has no such block, so its model of single operators predicts the time"

DEFAULT_DEVICES = ("gpu", "cpu", "mobile")  # devices that are shown without --device


@click.command()
@click.argument("arch", shell_complete=complete("ids"))
@click.option("--space", metavar="SPEC", help="Search space of a genome, or of an id that the store cannot resolve.")
@click.option(
    "--device",
    "devices",
    multiple=True,
    metavar="DEVICE",
    help="A device, or the file of a latency table; may be repeated or separated by commas.  [default: gpu,cpu,mobile]",
)
@plot_option
@force_option
@store_option
@csv_option
@json_option
def command(
    arch: str,
    space: str | None,
    devices: tuple[str, ...],
    plot: Path | None,
    force: bool,
    store: str,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Show the blocks of ARCH: an id, the unique beginning of one in the store, or a genome such as 0,3,1.

    A block is written as in drawings: MBConv 5x5 e3 /2 se is an inverted residual with a kernel of 5, an expansion of
    3, a stride of 2 and squeeze-and-excitation. --csv prints the table of blocks.
    """
    import json

    from nasctl import registry
    from nasctl.architectures import ids
    from nasctl.architectures.architecture import architecture
    from nasctl.store.store import Store
    from nasctl.training.rows import training_row

    spec, genome = ids.resolve(arch, opened := Store.reading(store), space)
    shown = architecture(spec, genome)
    trainings = opened.trainings(registry.spelled_out("spaces", spec), shown.genome)
    if plot:
        picture(plot, shown, force)
    found = latencies(shown.network, registry.listed(devices), spec)
    if as_json:
        rows = [training_row(one, store) for one in trainings]
        facts = {**shown.facts(), **({"trainings": rows} if rows else {})}
        click.echo(json.dumps({**facts, **latency_facts(shown.network, found, spec)}, default=str))
    else:
        if not as_csv:
            _print_facts(shown, found, spec, trainings)
        print_blocks(shown.network, found, as_csv)


def picture(path: Path, shown: Architecture, force: bool) -> None:
    """Draw an architecture.

    Args:
        path: Path of the picture, whose suffix is the format, or a folder.
        shown: The architecture.
        force: Whether an existing file may be replaced.

    Raises:
        NasctlError: The file exists and must not be replaced, cannot be written, or has the suffix of no format.
    """
    from nasctl.drawing.canvas import check_free
    from nasctl.drawing.network import draw
    from nasctl.system.terminal import quantity, say

    check_free(path := file_in(path, f"{shown.id}.png"), force)
    network = shown.network
    totals = f"{quantity(network.params, 'parameters')} parameters, {quantity(network.macs, 'MACs')} MACs"
    draw(path, network, shown.id, f"{shown.space}: {totals} for one example of {_shape(shown.input.shape)}")
    say(f"the picture of {shown.id} is in {path}")


def latencies(network: Network, devices: Sequence[str], space: str) -> dict[str, NetworkLatency]:
    """Predict the latency of a network on devices. A device that lacks a block is left out with a message on stderr.

    Args:
        network: The network.
        devices: Names of devices or files of latency tables; DEFAULT_DEVICES if empty.
        space: Spec of the search space.

    Raises:
        NasctlError: A device in `devices` cannot be read.
    """
    from nasctl.errors import MissingBlock, NasctlError
    from nasctl.system.terminal import say

    found: dict[str, NetworkLatency] = {}
    for name in devices or DEFAULT_DEVICES:
        try:
            found |= {device: price(network, table) for device, table in load_tables([name], space).items()}
        except NasctlError as missing:
            if devices and not isinstance(missing, MissingBlock):
                raise
            say(f"without {name}: {missing}")
    return found


def _print_facts(
    shown: Architecture, price: Mapping[str, NetworkLatency], spec: str, trainings: Sequence[TrainingRecord]
) -> None:
    """Print the facts of an architecture and its trainings."""
    from nasctl.system.terminal import definitions, plural, quantity

    network = shown.network
    definitions(
        {
            "id": shown.id,
            "space": shown.space,
            "genome": ",".join(map(str, shown.genome)),
            **({"native": shown.native} if shown.native else {}),
            **dict(_choices({name: one for name, one in shown.genes.items() if name not in shown.inactive})),
            **(
                {
                    "inactive": plural(
                        len(shown.inactive),
                        "other gene, which does not change this network",
                        "other genes, which do not change this network",
                    )
                }
                if shown.inactive
                else {}
            ),
            "input": f"{_shape(shown.input.shape)} ({shown.input.kind})",
            "parameters": quantity(network.params, "parameters"),
            "MACs": f"{quantity(network.macs, 'MACs')} for one example",
            "memory": f"{quantity(network.memory, 'bytes')}, peak of activations for one example in float32",
            **{f"latency@{device}": _latency(one, spec) for device, one in price.items()},
            **{f"trained{f' ({k})' if k > 1 else ''}": _trained(one) for k, one in enumerate(trainings, 1)},
        }
    )
    click.echo()


def print_blocks(network: Network, price: Mapping[str, NetworkLatency], as_csv: bool = False) -> None:
    """Print a table with a line for each block and its latency in ms on each device.

    Args:
        network: The network.
        price: Its latency by device.
        as_csv: Whether the table is printed as CSV.
    """
    from nasctl.system.terminal import TableColumn, paragraphs, table

    columns = [
        TableColumn("block"),
        TableColumn("what", prose=True),
        TableColumn("input -> output", priority=9, short="output"),
        TableColumn("parameters", "parameters", priority=2, short="params"),
        TableColumn("MACs", "MACs", priority=1),
    ]
    # The first device stays longest.
    for k, (device, one) in enumerate(price.items()):
        columns.append(TableColumn(f"ms on {device} (batch {one.table.batch})", priority=3 + min(k, 5)))
    rows = [_row(span, [one.blocks[k] for one in price.values()]) for k, span in enumerate(network.spans)]
    table(columns, rows, as_csv=as_csv)
    if not as_csv and any(one.modelled for one in price.values()):
        paragraphs(MODELLED)


def _choices(genes: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield the choices of genes in few lines: one line for all genes with the same name up to their first dot."""
    from nasctl.problem.space import choice_text

    groups: dict[str, dict[str, list[str]]] = {}
    for name, choice in genes.items():
        head, _, rest = name.rpartition(".")
        group, _, place = head.partition(".")
        groups.setdefault(group, {}).setdefault(place, []).append(f"{rest} {choice_text(choice)}")
    for group, places in groups.items():
        yield group or "genes", "; ".join(f"{place} {', '.join(leaves)}".strip() for place, leaves in places.items())


def _trained(record: TrainingRecord) -> str:
    """Return the results of a training by part with their standard errors, its name and its setting."""
    from nasctl.system.terminal import plural
    from nasctl.training.rows import accuracy_text, data_name

    parts = [f"{accuracy_text(result)} on {part}" for part, result in sorted(record.parts.items())]
    state = [] if record.state == "finished" else [record.state]
    epochs = plural(record.spec["recipe"]["epochs"], "epoch")
    setting = f"{data_name(record.spec['data'])}, {epochs}, seed {record.spec['seed']}"
    return f"{', '.join([*state, *parts])}; training {record.name} on {setting}"


def _latency(one: NetworkLatency, space: str) -> str:
    """Return the total latency with its batch, its origin and its held-out error."""
    beside = f", {one.table.overhead:.4g} ms of it beside the blocks" if one.table.overhead else ""
    total = f"{one.total:.4g} ms for a batch of {one.table.batch}{beside}, by {one.table.device}; blocks: {one.origins}"
    return f"{total}; error, held out: {held_out_error(one.table, space)}"


def _row(span: Span, figures: Sequence[BlockLatency]) -> list[object]:
    """Return the cells of a block's line in the table."""
    from nasctl.networks.block_notation import block_notation
    from nasctl.system.terminal import TableCell, measured

    emission = span.emission
    out = _shape(emission.out_shape)
    shapes = f"{', '.join(map(_shape, emission.in_shapes))} -> {out}"
    key = emission.key.partition(" @ ")[0]
    cells = [TableCell(key, terminal=block_notation(emission)), TableCell(shapes, terminal=out)]
    costs = [measured(emission.params, "parameters"), measured(emission.macs, "MACs")]
    return [span.name, *cells, *costs, *map(_milliseconds, figures)]


def _milliseconds(figure: BlockLatency) -> TableCell:
    """Return the cell of a latency, with "~" if it is modelled."""
    from nasctl.system.terminal import TableCell

    text = f"{'~' if figure.origin == 'modelled' else ''}{figure.ms:.3g}"
    return TableCell(figure.ms, text, text)


def _shape(shape: Shape) -> str:
    return "x".join(map(str, shape))

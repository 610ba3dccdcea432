"""`nasctl show`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from nasctl.commands import json_option, store_option

if TYPE_CHECKING:
    from nasctl.description import Architecture
    from nasctl.hardware.table import Figure
    from nasctl.networks.graph import Network, Span
    from nasctl.networks.node import Shape


class Timed(NamedTuple):
    """What a device's table says of a network; all in ms for one batch."""

    batch: int
    total: float
    overhead: float  # what the total holds beside the blocks
    blocks: tuple[Figure, ...]  # as the network's spans


@click.command()
@click.argument("arch")
@click.option("--space", metavar="SPEC", help="The space of a genome, or of an id that the store cannot resolve.")
@click.option(
    "--device",
    "devices",
    multiple=True,
    metavar="DEVICE",
    help="A device, or a table's file; may be repeated or separated by commas.  [default: all that know its blocks]",
)
@store_option
@json_option
def command(arch: str, space: str | None, devices: tuple[str, ...], store: str, as_json: bool) -> None:
    """Show the blocks of ARCH: an id, the unique beginning of one in the store, or a genome such as 0,3,1."""
    import json

    from nasctl import ids, registry
    from nasctl.description import architecture
    from nasctl.store import Store

    spec, genome = ids.resolve(arch, Store.reading(store), space)
    shown = architecture(spec, genome)
    timed = _timed(shown.network, registry.split(devices) or registry.names("devices"))
    if as_json:
        click.echo(json.dumps(_content(shown, timed), default=str))
    else:
        _print(shown, timed)


def _timed(network: Network, devices: Sequence[str]) -> dict[str, Timed]:
    """What each device's table says; a device whose table cannot say is left out, with a note."""
    from nasctl.errors import MissingBlock
    from nasctl.hardware.table import LatencyTable
    from nasctl.report import say

    found: dict[str, Timed] = {}
    for device in devices:
        table = LatencyTable.load(device)
        try:
            blocks = tuple(table.block(span.emission) for span in network.spans)
            timed = Timed(table.batch, table.latency(network), table.overhead, blocks)
        except MissingBlock as missing:
            say(f"without {device}: {missing}")
        else:
            # Two tables may call their device the same.
            found[device if table.device in found else table.device] = timed
    return found


def _content(shown: Architecture, timed: Mapping[str, Timed]) -> dict[str, Any]:
    """What --json prints."""
    blocks = [
        {
            "name": span.name,
            "key": span.emission.key,
            "in_shapes": span.emission.in_shapes,
            "out_shape": span.emission.out_shape,
            "params": span.emission.params,
            "macs": span.emission.macs,
            "latency": {device: one.blocks[k].ms for device, one in timed.items()},
            "origin": {device: one.blocks[k].origin for device, one in timed.items()},
        }
        for k, span in enumerate(shown.network.spans)
    ]
    return {
        **shown.facts(),
        "latency": {device: one.total for device, one in timed.items()},
        "overhead": {device: one.overhead for device, one in timed.items()},
        "batch": {device: one.batch for device, one in timed.items()},
        "blocks": blocks,
    }


def _print(shown: Architecture, timed: Mapping[str, Timed]) -> None:
    from nasctl.report import definitions, quantity, table

    network = shown.network
    definitions(
        {
            "id": shown.id,
            "space": shown.space,
            "genome": ",".join(map(str, shown.genome)),
            **({"native": shown.native} if shown.native else {}),
            **dict(_choices({name: one for name, one in shown.genes.items() if name not in shown.inactive})),
            **(
                {"inactive": f"{len(shown.inactive)} other genes, which make no difference here"}
                if shown.inactive
                else {}
            ),
            "input": f"{_shape(shown.input.shape)} ({shown.input.kind})",
            "parameters": quantity(network.params, "parameters"),
            "MACs": f"{quantity(network.macs, 'MACs')} for one example",
            "memory": f"{quantity(network.memory, 'bytes')}, peak of activations for one example in float32",
            **{f"latency@{device}": _latency(one) for device, one in timed.items()},
        }
    )
    click.echo()
    times = [f"ms on {device} (batch {one.batch})" for device, one in timed.items()]
    rows = [_row(span, [one.blocks[k] for one in timed.values()]) for k, span in enumerate(network.spans)]
    table(["block", "what", "input -> output", "parameters", "MACs", *times], rows)
    if any(figure.origin == "modelled" for one in timed.values() for figure in one.blocks):
        click.echo("~ modelled: the device's table has no such block, so its model of single operators stands in")


def _choices(genes: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Choices in few lines: one for all genes that begin alike, up to their first dot."""
    groups: dict[str, dict[str, list[str]]] = {}
    for name, choice in genes.items():
        head, _, rest = name.rpartition(".")
        group, _, place = head.partition(".")
        groups.setdefault(group, {}).setdefault(place, []).append(f"{rest} {choice}")
    for group, places in groups.items():
        yield group or "genes", "; ".join(f"{place} {', '.join(leaves)}".strip() for place, leaves in places.items())


def _latency(one: Timed) -> str:
    """The total with its batch, and where it comes from."""
    origins = [figure.origin for figure in one.blocks]
    known = ", ".join(f"{origins.count(origin)} {origin}" for origin in dict.fromkeys(origins))
    beside = f", {one.overhead:.4g} ms of it beside the blocks" if one.overhead else ""
    return f"{one.total:.4g} ms for a batch of {one.batch}{beside}; blocks: {known}"


def _row(span: Span, figures: Sequence[Figure]) -> list[str]:
    from nasctl.report import quantity

    emission = span.emission
    shapes = f"{', '.join(map(_shape, emission.in_shapes))} -> {_shape(emission.out_shape)}"
    costs = [quantity(emission.params, "parameters"), quantity(emission.macs, "MACs")]
    times = [f"{'~' if figure.origin == 'modelled' else ''}{figure.ms:.3g}" for figure in figures]
    return [span.name, emission.key.partition(" @ ")[0], shapes, *costs, *times]


def _shape(shape: Shape) -> str:
    return "x".join(map(str, shape))

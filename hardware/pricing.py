"""Latency of networks on several devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from nasctl.hardware.table import Figure, LatencyTable
    from nasctl.networks.graph import Network


class NetworkLatency(NamedTuple):
    """What a device's table says of a network; ms are for one batch of the table's size."""

    table: LatencyTable
    total: float
    blocks: tuple[Figure, ...]  # as the network's spans

    @property
    def modelled(self) -> bool:
        """Whether the figure of any block comes from the operator model."""
        return any(figure.origin == "modelled" for figure in self.blocks)

    @property
    def origins(self) -> str:
        """How the figures are known: "8 measured, 2 modelled"."""
        origins = [figure.origin for figure in self.blocks]
        return ", ".join(f"{origins.count(origin)} {origin}" for origin in dict.fromkeys(origins))


def load_tables(devices: Sequence[str], space: str | None) -> dict[str, LatencyTable]:
    """The tables of devices, by what to call them: as a person does, or a file by the name that stands in it.

    Args:
        devices: Names of devices, their kinds, and files.
        space: Spec of the space that a kind ("gpu") is to be the best device for.
    """
    from nasctl.hardware.kinds import load_table

    found: dict[str, LatencyTable] = {}
    for device in devices:
        table = load_table(device, space)
        own = device.endswith(".json") and table.device not in found  # two files may call their device the same
        found[table.device if own else device] = table
    return found


def price(network: Network, table: LatencyTable) -> NetworkLatency:
    """What a table says of a network.

    Raises:
        MissingBlock: It lacks a block.
    """
    return NetworkLatency(table, table.latency(network), tuple(table.block(span.emission) for span in network.spans))


def held_out_error(table: LatencyTable, space: str | None) -> str:
    """How far the table is off on what was held out, and whether that is known of this space; None is of none."""
    shown: str = table.accuracy(space)
    known = space is None or not table.validation or table.validated(space)
    return shown if known else f"NOT VALIDATED for {space}; elsewhere {shown}"


def latency_facts(network: Network, price: Mapping[str, NetworkLatency], space: str | None) -> dict[str, Any]:
    """What --json prints of the devices and the blocks."""
    blocks = [
        {
            "name": span.name,
            "key": span.emission.key,
            "in_shapes": span.emission.in_shapes,
            "out_shape": span.emission.out_shape,
            "params": span.emission.params,
            "macs": span.emission.macs,
            "latency": {device: one.blocks[k].ms for device, one in price.items()},
            "origin": {device: one.blocks[k].origin for device, one in price.items()},
        }
        for k, span in enumerate(network.spans)
    ]
    return {
        "latency": {device: one.total for device, one in price.items()},
        "error": {device: held_out_error(one.table, space) for device, one in price.items()},
        "overhead": {device: one.table.overhead for device, one in price.items()},
        "batch": {device: one.table.batch for device, one in price.items()},
        "blocks": blocks,
    }

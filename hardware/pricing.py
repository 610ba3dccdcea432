"""Latency of one network on several devices, by block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from nasctl.hardware.table import BlockLatency, LatencyTable
    from nasctl.networks.graph import Network


class NetworkLatency(NamedTuple):
    """The latency of a network by one table."""

    table: LatencyTable
    total: float  # ms for one batch of the table's size
    blocks: tuple[BlockLatency, ...]  # in the order of the spans of the network

    @property
    def modelled(self) -> bool:
        """Return whether the latency of any block comes from the operator model."""
        return any(figure.origin == "modelled" for figure in self.blocks)

    @property
    def origins(self) -> str:
        """Return how many blocks have which origin: "8 measured, 2 modelled"."""
        origins = [figure.origin for figure in self.blocks]
        return ", ".join(f"{origins.count(origin)} {origin}" for origin in dict.fromkeys(origins))


def load_tables(devices: Sequence[str], space: str | None) -> dict[str, LatencyTable]:
    """Load the tables of devices, by the name as given, or for a file by the device name in it.

    Args:
        devices: Names of devices, kinds of devices, and paths of files.
        space: Spec of the search space for which a kind such as "gpu" selects the best table.
    """
    from nasctl.hardware.kinds import load_table

    found: dict[str, LatencyTable] = {}
    for device in devices:
        table = load_table(device, space)
        own = device.endswith(".json") and table.device not in found  # Two files may have one device name.
        found[table.device if own else device] = table
    return found


def price(network: Network, table: LatencyTable) -> NetworkLatency:
    """Return the latency of a network by a table.

    Raises:
        MissingBlock: The table cannot price a block.
    """
    return NetworkLatency(table, table.latency(network), table.block_latencies(network))


def held_out_error(table: LatencyTable, space: str | None) -> str:
    """Return the held-out error of a table, marked if the table was not validated on the space.

    Args:
        table: The table.
        space: Spec of the search space; None for a network that belongs to none.
    """
    shown = f"{table.accuracy(space)}{table.noise_note}"
    known = space is None or not table.validation or table.validated(space)
    return shown if known else f"NOT VALIDATED for {space}; elsewhere {shown}"


def latency_facts(network: Network, prices: Mapping[str, NetworkLatency], space: str | None) -> dict[str, Any]:
    """Return what --json prints about the blocks and devices.

    Args:
        network: The network.
        prices: Its latency by device.
        space: Spec of its search space, if it has one.
    """
    blocks = [
        {
            "name": span.name,
            "key": span.emission.key,
            "in_shapes": span.emission.in_shapes,
            "out_shape": span.emission.out_shape,
            "params": span.emission.params,
            "macs": span.emission.macs,
            "latency": {device: one.blocks[k].ms for device, one in prices.items()},
            "origin": {device: one.blocks[k].origin for device, one in prices.items()},
        }
        for k, span in enumerate(network.spans)
    ]
    return {
        "latency": {device: one.total for device, one in prices.items()},
        "error": {device: held_out_error(one.table, space) for device, one in prices.items()},
        "overhead": {device: one.table.overhead for device, one in prices.items()},
        "batch": {device: one.table.batch for device, one in prices.items()},
        "blocks": blocks,
    }

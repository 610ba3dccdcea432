"""Selection of the best table of a kind of device, such as "gpu", for a search space."""

from __future__ import annotations

from itertools import islice

from nasctl.api import MissingBlock, NasctlError, Network, SearchSpace
from nasctl.hardware.distinct_blocks import random_genomes
from nasctl.hardware.table import LatencyTable
from nasctl.hardware.tables_schema import KINDS
from nasctl.registry import create, trusted

TRIAL_NETWORKS = 3  # random networks of the space that a table must be able to price
EXAMPLES = 16  # random networks of a space whose blocks stand for those of the space


def load_table(device: str, space: str | None = None) -> LatencyTable:
    """Load the table of a device, of a file, or of the best device of a kind.

    Args:
        device: A name of `nasctl device list`, a path that ends in ".json", or one of `KINDS`.
        space: Spec of the search space that the table must price; required for a kind.

    Raises:
        UnknownName: No device has that name.
        NasctlError: The file is missing or is not a latency table, or a kind was given without a space.
    """
    if device not in KINDS:
        return LatencyTable.load(device)
    if space is None:
        raise NasctlError(f"which table {device!r} stands for depends on the space; add --space, or name a table")
    return best_table(device, space)


def best_table(kind: str, space: str) -> LatencyTable:
    """Return the table with the least error on a space among those of a kind of device.

    A validation against timed whole networks is preferred to one against sums of block times. If no table of the kind
    was validated on the space, return the one validated on the most spaces among those that can price its networks.

    Args:
        kind: One of `KINDS`.
        space: Spec of the search space.

    Raises:
        NasctlError: No table of that kind can price networks of the space.
    """
    made: SearchSpace = create("spaces", space)
    networks = [made.network(genome) for genome in islice(random_genomes(made, seed=0), TRIAL_NETWORKS)]
    tables = [table for table in map(LatencyTable.load, trusted("devices")) if table.kind == kind and table.validation]
    for table in sorted(tables, key=lambda table: table_rank(table, space)):
        try:
            for network in networks:
                table.latency(network)
        except MissingBlock:
            continue
        return table
    raise NasctlError(f"no table of the kind {kind!r} knows the blocks of {space}; see `nasctl device list`")


def prices_space(table: LatencyTable, space: str) -> bool:
    """Return whether a table can price the examples of a space, given by its spec."""
    return not any(table.unpriced_keys(network) for network in example_networks(space))


def example_networks(spec: str) -> list[Network]:
    """Return networks of a space with common and rare blocks: of all first and all last choices, and random ones.

    Cells of zeros alone, for example, are rare among random networks, and are those of all first choices.
    """
    space: SearchSpace = create("spaces", spec)
    first, last = (0,) * len(space.genes), tuple(len(gene.choices) - 1 for gene in space.genes)
    extremes = [space.canonical(genome) for genome in (first, last)]
    drawn = islice(random_genomes(space, seed=0), EXAMPLES)
    return [space.network(genome) for genome in dict.fromkeys([*extremes, *drawn])]


def table_rank(table: LatencyTable, space: str) -> tuple[bool, int, bool, float, str]:
    """Return a sort key that is smaller for a table that is better for a space."""
    about = table.validated(space)
    shown = about or table.validation[0]
    breadth = 0 if about else len(table.spaces)
    return about is None, -breadth, shown.against != "networks", shown.mape, table.device

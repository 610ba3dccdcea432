"""Device kinds such as "gpu" and "mobile", and the table that stands for each on a space."""

from __future__ import annotations

from itertools import islice

from nasctl.api import MissingBlock, NasctlError, SearchSpace
from nasctl.hardware.distinct_blocks import random_genomes
from nasctl.hardware.table import LatencyTable
from nasctl.hardware.tables_schema import KINDS
from nasctl.registry import create, trusted

SOME = 3  # random networks that a table has to be able to price


def load_table(device: str, space: str | None = None) -> LatencyTable:
    """Load the table of a device, of a file, or of the best device of a kind.

    Args:
        device: A name of `nasctl device list`, a path that ends in ".json", or one of `KINDS`.
        space: Spec of the space that the table has to price; required for a kind.

    Raises:
        UnknownName: There is no such device.
        NasctlError: The file is missing or holds no latency table, or a kind was given without a space.
    """
    if device not in KINDS:
        return LatencyTable.load(device)
    if space is None:
        raise NasctlError(f"which table {device!r} stands for depends on the space; add --space, or name a table")
    return best(device, space)


def best(kind: str, space: str) -> LatencyTable:
    """The table that a kind of device stands for: of those validated on the space, the one of the least error.

    Whole networks that were timed count before sums of block times. Where no table of the kind was validated on the
    space, one is taken that can price its networks, of those the one that was validated on the most spaces.

    Args:
        kind: One of `KINDS`.
        space: What it is wanted for, as a person spells it.

    Raises:
        NasctlError: No table of that kind can price the space's networks.
    """
    made: SearchSpace = create("spaces", space)
    networks = [made.network(genome) for genome in islice(random_genomes(made, seed=0), SOME)]
    tables = [table for table in map(LatencyTable.load, trusted("devices")) if table.kind == kind and table.validation]
    for table in sorted(tables, key=lambda table: rank(table, space)):
        try:
            for network in networks:
                table.latency(network)
        except MissingBlock:
            continue
        return table
    raise NasctlError(f"no table of the kind {kind!r} knows the blocks of {space}; see `nasctl device list`")


def rank(table: LatencyTable, space: str) -> tuple[bool, int, bool, float, str]:
    """What is less for a table that knows more of a space."""
    about = table.validated(space)
    shown = about or table.validation[0]
    breadth = 0 if about else len(table.spaces)
    return about is None, -breadth, shown.against != "networks", shown.mape, table.device

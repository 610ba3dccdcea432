"""Places of blocks in networks: rows of a latency table that hold for one position of a block only."""

from __future__ import annotations

from collections.abc import Mapping

from nasctl.hardware.tables_schema import Row

REPEATED = "*"  # stands for a number in a place: "stage1.*.edge01" is an edge of every cell of a stage

Places = Mapping[str, Mapping[str, Row]]  # rows by place and then by emission key


def repeated_place(name: str) -> str:
    """Return the place that a block shares with the blocks of repeated cells.

    Args:
        name: Name of the block in its network, such as "stage1.0.edge01".

    Returns:
        The name with `REPEATED` for each part that is a number: "stage1.*.edge01".
    """
    return ".".join(REPEATED if part.isdecimal() else part for part in name.split("."))


def row_at(places: Places, name: str, key: str) -> Row | None:
    """Return the row of a block at its place, or None if no row is of its place.

    A row of the block's own name comes before a row of all repetitions.

    Args:
        places: Rows by place.
        name: Name of the block in its network.
        key: Emission key of the block.
    """
    for place in (name, repeated_place(name)):
        if (row := places.get(place, {}).get(key)) is not None:
            return row
    return None

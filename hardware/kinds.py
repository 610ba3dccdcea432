"""Selection of the best table of a kind of device, such as "gpu", for a search space."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import islice
from pathlib import Path

from nasctl.api import NasctlError, Network, SearchSpace
from nasctl.hardware.distinct_blocks import random_genomes
from nasctl.hardware.precision import integer_bits
from nasctl.hardware.table import LatencyTable
from nasctl.hardware.tables_schema import KINDS
from nasctl.registry import create, trusted
from nasctl.system.processor import host_processor

TRIAL_NETWORKS = 3  # random networks of the space that a table must be able to price
MOST_FILES = 100  # JSON files of the current folder that are looked at for tables of this machine
BEGIN = b'{\n "schema": '  # first bytes of every table that nasctl writes
FILE_NAME = re.compile(r"[\w.-]+\.json")  # names of files that may be part of a spec
EXAMPLES = 16  # random networks of a space whose blocks stand for those of the space


def load_table(device: str, space: str | None = None) -> LatencyTable:
    """Load the table of a device, of a file, or of the best device of a kind.

    Args:
        device: A name of `nasctl device list`, a path that ends in ".json", or one of `KINDS`.
        space: Spec of the search space that the table must price; required for a kind.

    Raises:
        UnknownDevice: No device has that name.
        NasctlError: The file is missing or is not a latency table, or a kind was given without a space.
    """
    if device not in KINDS:
        return LatencyTable.load(device)
    if space is None:
        raise NasctlError(f"which table {device!r} stands for depends on the space; add --space, or name a table")
    return LatencyTable.load(best_device(device, space))


def best_device(kind: str, space: str) -> str:
    """Return the device with the least error on a space among those of a kind, as `LatencyTable.load` takes it.

    A validation against timed whole networks is preferred to one against sums of block times. If no table of the kind
    was validated on the space, the one validated on the most spaces is taken among those that can price its networks.
    "cpu" stands for this machine if a table of its processor was validated on the space: one of the current folder,
    which `nasctl device profile` has written, or else a listed one.

    Args:
        kind: One of `KINDS`.
        space: Spec of the search space.

    Raises:
        NasctlError: No table of that kind can price networks of the space.
    """
    made: SearchSpace = create("spaces", space)
    networks = [made.network(genome) for genome in islice(random_genomes(made, seed=0), TRIAL_NETWORKS)]
    tables = {name: LatencyTable.load(name) for name in trusted("devices")}
    tables = {name: table for name, table in tables.items() if table.kind == kind and table.validation}
    names = sorted(tables, key=lambda name: table_rank(tables[name], space))
    if kind == "cpu":
        here = _of_this_machine({**_tables_in_folder(Path()), **tables}, space)
        names = [*sorted(here, key=lambda name: (name in tables, table_rank(here[name], space))), *names]
        tables |= here
    for name in names:
        if not any(tables[name].unpriced_keys(network) for network in networks):
            return name
    raise NasctlError(
        f"no table of the kind {kind!r} knows the blocks of {space}; see `nasctl device list`, or make one with "
        "`nasctl device profile`, `nasctl device kit` or `nasctl device adapt`"
    )


def best_table(kind: str, space: str) -> LatencyTable:
    """Return the table of `best_device`."""
    return LatencyTable.load(best_device(kind, space))


def compared_with_timings(table: LatencyTable, space: str | None = None) -> bool:
    """Return whether a table was compared with timed networks or blocks, on a space if its spec is given."""
    return table.shown_validation(space, timed=True) is not None


def where_validated(table: LatencyTable, space: str) -> str:
    """Return where a table that was not validated on a space sends its user: a sentence without a full stop.

    Args:
        table: The table.
        space: Spec of the space.
    """
    adapt = f"`nasctl device adapt {table.device}` corrects this one by five networks that you time"
    kinds = _kinds_validated(space, tuple(trusted("devices")))
    if not kinds:
        return f"no table was compared with timed networks of that space; {adapt}"
    listing = f"`nasctl device list --space {space} --validated` lists tables"
    if table.kind in kinds:
        return f"{listing} that were, and {adapt}"
    return f"{listing} that were, of another kind of device ({', '.join(kinds)}), and {adapt}"


@lru_cache(maxsize=8)  # reading all tables takes a quarter of a second
def _kinds_validated(space: str, devices: tuple[str, ...]) -> tuple[str, ...]:
    """Return the kinds of those devices whose tables were compared with timings on a space, each once."""
    tables = map(LatencyTable.load, devices)
    return tuple(dict.fromkeys(table.kind for table in tables if compared_with_timings(table, space)))


def whose_processor(kind: str, table: LatencyTable) -> str:
    """Return a sentence that says whether the table that "cpu" stands for is of this machine; "" for other kinds.

    Args:
        kind: The device as a user gave it.
        table: The table that it stands for.
    """
    if kind != "cpu" or table.kind != "cpu":
        return ""
    if table.processor == (here := host_processor()):
        return f"cpu is {table.device}, the table of this machine's processor"
    return (
        f"NOT THIS MACHINE: cpu is {table.device}, a table of {table.processor or 'an unknown processor'}, and this "
        f"machine has {here}; make a table of it with `nasctl device profile`"
    )


def _of_this_machine(tables: Mapping[str, LatencyTable], space: str) -> dict[str, LatencyTable]:
    """Return the tables of this machine's processor that were measured in floating point and validated on a space.

    A table of integers holds for quantised files alone, so only its name stands for it.
    """
    found = {
        name: table
        for name, table in tables.items()
        if table.kind == "cpu" and table.method == "measured" and table.validated(space)
    }
    found = {name: table for name, table in found.items() if integer_bits(table.precision) is None}
    here = host_processor() if found else ""
    return {name: table for name, table in found.items() if table.processor == here}


def _tables_in_folder(folder: Path) -> dict[str, LatencyTable]:
    """Return the latency tables among the JSON files of a folder, by name of file; other files are passed over."""
    found = {}
    for path in sorted(folder.glob("*.json"))[:MOST_FILES]:
        try:
            with path.open("rb") as file:
                begin = file.read(len(BEGIN))
            if begin == BEGIN and FILE_NAME.fullmatch(path.name):
                found[path.name] = LatencyTable.load(path.name if folder == Path() else str(path))
        except (OSError, NasctlError):
            continue
    return found


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

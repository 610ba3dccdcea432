"""The command `nasctl device predict`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from nasctl.commands import csv_option, json_option, store_option
from nasctl.commands.show import MODELLED, print_blocks
from nasctl.hardware.pricing import NetworkLatency, held_out_error, latency_facts, load_tables, price

if TYPE_CHECKING:
    from nasctl.hardware.table import LatencyTable
    from nasctl.networks.graph import Network
    from nasctl.store.store import Store

IDLE = (
    "{device} was fitted to networks with idle operations; with them, as its benchmark's code runs it, the "
    "architecture takes {ms} ms"
)
STDIN = "-"  # word that stands for the architectures of the standard input
LIMIT = 1 << 26  # bytes of a file of architectures: 64 MiB


class Subject(NamedTuple):
    """An architecture whose latency is predicted."""

    name: str  # id, or the file name of a free architecture
    space: str | None  # spec of the search space; None for a free architecture
    network: Network
    declared: Network | None = None  # as its benchmark's code runs it, if that differs from the network


class Prediction(NamedTuple):
    """The predicted latencies of an architecture, by device."""

    subject: Subject
    tables: Mapping[str, LatencyTable]  # tables of all requested devices
    latencies: Mapping[str, NetworkLatency]  # of the devices that can price its blocks

    @property
    def declared(self) -> dict[str, float]:
        """Return the latency in ms with idle operations, by device, where a table was fitted to such networks."""
        network = self.subject.declared
        tables = {device: one.table for device, one in self.latencies.items() if one.table.idle == "count"}
        if network is None:
            return {}
        return {device: table.latency(network) for device, table in tables.items() if not table.unpriced_keys(network)}


@click.command()
@click.argument("archs", nargs=-1, required=True, metavar="ARCH...")
@click.option("--space", metavar="SPEC", help="Space of a genome, or of an id that the store cannot resolve.")
@click.option(
    "--device",
    "devices",
    multiple=True,
    metavar="DEVICE",
    help="Device, or file of a table; repeatable, or separated by commas.  [default: all that can price the blocks]",
)
@store_option
@csv_option
@json_option
def command(
    archs: tuple[str, ...], space: str | None, devices: tuple[str, ...], store: str, as_csv: bool, as_json: bool
) -> None:
    """Predict the latency of ARCH on several devices side by side, in total and by block.

    ARCH is an id or a genome; a file with one of these per line, or - for the standard input; or a .json file: an
    export of nasctl, or a free architecture, {"input": [3, 224, 224], "blocks": [{"block": "MBConv", "channels": 24,
    ...}, ...]}. Blocks are shown for one architecture on named devices. For several architectures, or without --device,
    only totals are shown; --json prints everything. --csv prints a row for each architecture and device.
    """
    import json

    from nasctl import registry
    from nasctl.errors import NasctlError
    from nasctl.store.store import Store

    asked = registry.listed(devices)
    subjects = _subjects(archs, Store.reading(store), space)
    made = _predictions(subjects, asked)
    if as_json:
        comma = "["
        for one in made:  # They are printed one by one, because a file may hold many.
            click.echo(f"{comma}{json.dumps(_content(one), default=str)}", nl=False)
            comma = ",\n "
        click.echo("]" if comma != "[" else "[]")
        return
    if as_csv:
        _print_csv(made)
        return
    first = next(made, None)
    if first is None:
        raise NasctlError(f"{', '.join(archs)} holds no architecture")
    second = next(made, None)
    if second is None:
        _print_one(first, bool(asked))
    else:
        _print_many([first, second], made)


def _subjects(words: Sequence[str], store: Store, space: str | None) -> Iterator[Subject]:
    """Yield the architectures of words and of lines of files.

    Raises:
        NasctlError: A file cannot be read, or a word or line is not an architecture.
    """
    from nasctl.errors import NasctlError
    from nasctl.system import files

    for word in words:
        path = Path(word)
        if word != STDIN and not path.is_file():
            if path.suffix in (".json", ".txt", ".csv"):
                raise NasctlError(f"there is no file {word}")
            yield _parse(word, store, space)
            continue
        try:
            given = sys.stdin.buffer.read(LIMIT) if word == STDIN else files.read(path, LIMIT)
            text = given.decode("utf-8-sig")
        except OSError as error:
            raise NasctlError(f"cannot read {word}: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise NasctlError(f"cannot read {word}: {error}") from None
        if text.lstrip().startswith("{"):
            yield _from_json(path, text, store)
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                try:
                    yield _parse(line.strip(), store, space)
                except NasctlError as error:
                    raise NasctlError(f"{word}, line {number}: {error}") from None


def _parse(text: str, store: Store, space: str | None) -> Subject:
    """Return the architecture of an id or a genome."""
    from nasctl import registry
    from nasctl.architectures import ids
    from nasctl.problem.space import declared_network

    spec, genome = ids.resolve(text, store, space)
    made = registry.create("spaces", spec)
    network, declared = made.network(made.canonical(genome)), declared_network(made, genome)
    differs = [span.emission for span in network.spans] != [span.emission for span in declared.spans]
    name = ids.encode(spec, made.genes, genome)
    return Subject(name, registry.normal("spaces", spec), network, declared if differs else None)


def _from_json(path: Path, text: str, store: Store) -> Subject:
    """Return the architecture of a JSON file: a free architecture, or an export of nasctl.

    Raises:
        NasctlError: The file is neither.
    """
    from nasctl.architectures import from_json
    from nasctl.errors import NasctlError
    from nasctl.system import files

    try:
        content = files.parsed(text)
        if isinstance(content.get("space"), str) and isinstance(content.get("genome"), list):
            return _parse(",".join(map(str, content["genome"])), store, content["space"])
        return Subject(path.name, None, from_json.network(content))
    except ValueError as error:
        raise NasctlError(f"{path} is not JSON: {error}") from None
    except NasctlError as error:
        raise NasctlError(f"{path}: {error}") from None


def _predictions(subjects: Iterator[Subject], asked: Sequence[str]) -> Iterator[Prediction]:
    """Yield the latencies of architectures on the requested devices, or on all devices.

    A requested device that cannot price a block is named on stderr, once.

    Raises:
        MissingBlock: The only device cannot price a block.
    """
    from nasctl import registry
    from nasctl.errors import MissingBlock
    from nasctl.system.terminal import say

    devices = asked or registry.trusted("devices")
    # By spec, because a kind of device selects a table per space.
    loaded: dict[str | None, dict[str, LatencyTable]] = {}
    reported: set[str] = set()
    for one in subjects:
        if one.space not in loaded:
            loaded[one.space] = load_tables(devices, one.space)
        found = {}
        for device, table in loaded[one.space].items():
            try:
                found[device] = price(one.network, table)
            except MissingBlock as missing:
                if len(loaded[one.space]) == 1:
                    raise
                if asked and device not in reported:
                    say(f"without {device}: {missing}")
                reported.add(device)
        yield Prediction(one, loaded[one.space], found)


def _content(made: Prediction) -> dict[str, Any]:
    """Return what --json prints about an architecture."""
    subject = made.subject
    facts = {
        "arch": subject.name,
        "space": subject.space,
        "params": subject.network.params,
        "macs": subject.network.macs,
    }
    tables = {device: one.table.device for device, one in made.latencies.items()}
    priced = latency_facts(subject.network, made.latencies, subject.space)
    return {**facts, "table": tables, **priced, "latency_with_idle": made.declared}


def _print_csv(made: Iterator[Prediction]) -> None:
    """Print a row for each architecture and device, with exact values."""
    from nasctl.system.terminal import TableColumn, table

    columns = [
        *map(TableColumn, ("architecture", "space", "device", "table")),
        TableColumn("latency", "ms"),
        TableColumn("batch", "examples"),
        *map(TableColumn, ("blocks", "error, held out")),
        TableColumn("params", "parameters"),
        TableColumn("macs", "MACs"),
    ]
    rows = []
    for one in made:
        network, space = one.subject.network, one.subject.space
        for device, found in one.latencies.items():
            about = [found.total, found.table.batch, found.origins, held_out_error(found.table, space)]
            head = [one.subject.name, space, device, found.table.device]
            rows.append([*head, *about, network.params, network.macs])
    table(columns, rows, as_csv=True)


def _print_one(made: Prediction, blocks: bool) -> None:
    """Print the latencies of one architecture, a line per device, and optionally its blocks."""
    from nasctl.system.terminal import TableCell, TableColumn, definitions, paragraphs, quantity, table

    subject = made.subject
    sizes = {
        "parameters": quantity(subject.network.params, "parameters"),
        "MACs": quantity(subject.network.macs, "MACs"),
    }
    definitions({"architecture": subject.name, "space": subject.space or "none, a free architecture", **sizes})
    click.echo()
    rows = [
        [
            device,
            TableCell(one.table.device, terminal="" if one.table.device == device else None),
            *(_total(one), one.table.batch, one.origins),
            TableCell(text := held_out_error(one.table, subject.space), terminal=text.partition(",")[0]),
        ]
        for device, one in made.latencies.items()
    ]
    columns = [
        TableColumn("device"),
        TableColumn("table", priority=5),
        TableColumn("ms"),
        TableColumn("batch", priority=1),
        TableColumn("blocks", priority=3, prose=True),
        TableColumn("error, held out", priority=4, prose=True),
    ]
    table(columns, rows, as_csv=False)
    for device, ms in made.declared.items():
        paragraphs(IDLE.format(device=device, ms=f"{ms:.4g}"))
    if blocks and made.latencies:
        click.echo()
        print_blocks(subject.network, made.latencies, as_csv=False)
    elif any(one.modelled for one in made.latencies.values()):
        paragraphs(MODELLED)


def _print_many(begun: Sequence[Prediction], rest: Iterator[Prediction]) -> None:
    """Print the latencies of several architectures, a line per architecture, and the error of each device."""
    from itertools import chain

    from nasctl.system.terminal import TableColumn, paragraphs, table

    headings: dict[str, str] = {}  # of columns, by device
    about: dict[tuple[str, str], list[object]] = {}
    rows: list[dict[str, str]] = []
    modelled = False
    for made in chain(begun, rest):
        for device, one in made.latencies.items():
            headings.setdefault(device, f"ms on {device} (batch {one.table.batch})")
            about.setdefault(
                (device, one.table.digest),
                [device, one.table.device, one.table.method, held_out_error(one.table, made.subject.space)],
            )
            modelled |= one.modelled
        rows.append({"": made.subject.name, **{device: _total(one) for device, one in made.latencies.items()}})
    columns = [TableColumn("architecture"), *(TableColumn(one, priority=1) for one in headings.values())]
    table(columns, [[row[""], *(row.get(one, "") for one in headings)] for row in rows], as_csv=False)
    if modelled:
        paragraphs(MODELLED)
    click.echo()
    tables = [
        TableColumn("device"),
        TableColumn("table", priority=1),
        TableColumn("method", priority=2),
        TableColumn("error, held out", prose=True),
    ]
    table(tables, about.values(), as_csv=False)


def _total(one: NetworkLatency) -> str:
    """Return the latency with four significant digits, marked with "~" if the operator model priced a block."""
    return f"{'~' if one.modelled else ''}{one.total:.4g}"

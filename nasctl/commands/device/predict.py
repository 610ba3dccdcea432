"""`nasctl device predict`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from nasctl.commands import json_option, store_option
from nasctl.commands.show import MODELLED, print_blocks
from nasctl.hardware.pricing import NetworkLatency, held_out_error, latency_facts, load_tables, price

if TYPE_CHECKING:
    from nasctl.hardware.table import LatencyTable
    from nasctl.networks.graph import Network
    from nasctl.store.store import Store

LIMIT = 1 << 26  # bytes of a file of architectures


class Meant(NamedTuple):
    """An architecture that a person means."""

    name: str  # its id, or the name of the file of a free one
    space: str | None  # spec of the space; none of a free one
    network: Network


class Prediction(NamedTuple):
    """What the devices say of it, by what they are called."""

    of: Meant
    tables: Mapping[str, LatencyTable]  # all that were asked
    timed: Mapping[str, NetworkLatency]  # those that know its blocks


@click.command()
@click.argument("archs", nargs=-1, required=True, metavar="ARCH...")
@click.option("--space", metavar="SPEC", help="The space of a genome, or of an id that the store cannot resolve.")
@click.option(
    "--device",
    "devices",
    multiple=True,
    metavar="DEVICE",
    help="A device, or a table's file; may be repeated or separated by commas.  [default: all that know the blocks]",
)
@store_option
@json_option
def command(archs: tuple[str, ...], space: str | None, devices: tuple[str, ...], store: str, as_json: bool) -> None:
    """Predict the latency of ARCH on several devices side by side, in total and by block.

    ARCH is an id or a genome; a file with one of these on each line; or a .json file: an export of nasctl, or a free
    architecture, {"input": [3, 224, 224], "blocks": [{"block": "MBConv", "channels": 24, ...}, ...]}. Blocks are shown
    of one architecture on devices that are named; of many, or on all devices, only totals are, and --json has all.
    """
    import json

    from nasctl import registry
    from nasctl.errors import NasctlError
    from nasctl.store.store import Store

    asked = registry.listed(devices)
    meant = _meant(archs, Store.reading(store), space)
    made = _predicted(meant, asked)
    if as_json:
        comma = "["
        for one in made:  # one after another, because a file may hold many
            click.echo(f"{comma}{json.dumps(_content(one), default=str)}", nl=False)
            comma = ",\n "
        click.echo("]" if comma != "[" else "[]")
        return
    first = next(made, None)
    if first is None:
        raise NasctlError(f"{', '.join(archs)} holds no architecture")
    second = next(made, None)
    if second is None:
        _print_one(first, bool(asked))
    else:
        _print_many([first, second], made)


def _meant(words: Sequence[str], store: Store, space: str | None) -> Iterator[Meant]:
    """The architectures that the words, or the lines of files, stand for.

    Raises:
        NasctlError: A file cannot be read, or a word or a line means nothing.
    """
    from nasctl.errors import NasctlError
    from nasctl.system import files

    for word in words:
        path = Path(word)
        if not path.is_file():
            if path.suffix in (".json", ".txt", ".csv"):
                raise NasctlError(f"there is no file {word}")
            yield _spelled(word, store, space)
            continue
        try:
            text = files.read(path, LIMIT).decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as held_out_error:
            raise NasctlError(
                f"cannot read {word}: {getattr(held_out_error, 'strerror', None) or held_out_error}"
            ) from None
        if text.lstrip().startswith("{"):
            yield _from_json(path, text, store)
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                try:
                    yield _spelled(line.strip(), store, space)
                except NasctlError as held_out_error:
                    raise NasctlError(f"{word}, line {number}: {held_out_error}") from None


def _spelled(text: str, store: Store, space: str | None) -> Meant:
    from nasctl import registry
    from nasctl.architectures import ids

    spec, genome = ids.resolve(text, store, space)
    made = registry.create("spaces", spec)
    return Meant(
        ids.encode(spec, made.genes, genome), registry.normal("spaces", spec), made.network(made.canonical(genome))
    )


def _from_json(path: Path, text: str, store: Store) -> Meant:
    """A free architecture, or one that `nasctl export` has written.

    Raises:
        NasctlError: It is neither.
    """
    from nasctl.architectures import from_json
    from nasctl.errors import NasctlError
    from nasctl.system import files

    try:
        content = files.parsed(text)
        if isinstance(content.get("space"), str) and isinstance(content.get("genome"), list):
            return _spelled(",".join(map(str, content["genome"])), store, content["space"])
        return Meant(path.name, None, from_json.network(content))
    except ValueError as held_out_error:
        raise NasctlError(f"{path} is not JSON: {held_out_error}") from None
    except NasctlError as held_out_error:
        raise NasctlError(f"{path}: {held_out_error}") from None


def _predicted(meant: Iterator[Meant], asked: Sequence[str]) -> Iterator[Prediction]:
    """Ask the devices, or all that there are; one that was asked for and lacks a block is named on stderr once.

    Raises:
        MissingBlock: No device knows the blocks.
    """
    from nasctl import registry
    from nasctl.errors import MissingBlock
    from nasctl.system.terminal import say

    devices = asked or registry.trusted("devices")
    loaded: dict[str | None, dict[str, LatencyTable]] = {}  # a kind of device is another table in another space
    told: set[str] = set()
    for one in meant:
        if one.space not in loaded:
            loaded[one.space] = load_tables(devices, one.space)
        found = {}
        for device, table in loaded[one.space].items():
            try:
                found[device] = price(one.network, table)
            except MissingBlock as missing:
                if len(loaded[one.space]) == 1:
                    raise
                if asked and device not in told:
                    say(f"without {device}: {missing}")
                told.add(device)
        yield Prediction(one, loaded[one.space], found)


def _content(made: Prediction) -> dict[str, Any]:
    """What --json prints of an architecture."""
    of = made.of
    facts = {"arch": of.name, "space": of.space, "params": of.network.params, "macs": of.network.macs}
    load_tables = {device: one.table.device for device, one in made.timed.items()}
    return {**facts, "table": load_tables, **latency_facts(of.network, made.timed, of.space)}


def _print_one(made: Prediction, blocks: bool) -> None:
    """Totals, a line for each device, and the blocks."""
    from nasctl.system.terminal import definitions, quantity, table

    of = made.of
    sizes = {"parameters": quantity(of.network.params, "parameters"), "MACs": quantity(of.network.macs, "MACs")}
    definitions({"architecture": of.name, "space": of.space or "none, a free architecture", **sizes})
    click.echo()
    rows = [
        [device, one.table.device, _total(one), one.table.batch, one.origins, held_out_error(one.table, of.space)]
        for device, one in made.timed.items()
    ]
    table(["device", "table", "ms", "batch", "blocks", "error, held out"], rows)
    if blocks and made.timed:
        click.echo()
        print_blocks(of.network, made.timed)
    elif any(one.modelled for one in made.timed.values()):
        click.echo(MODELLED)


def _print_many(begun: Sequence[Prediction], rest: Iterator[Prediction]) -> None:
    """Totals, a line for each architecture, and then the error of each device."""
    from itertools import chain

    from nasctl.system.terminal import table

    devices: dict[str, str] = {}  # with their column's heading
    about: dict[tuple[str, str], list[object]] = {}
    rows: list[dict[str, str]] = []
    modelled = False
    for made in chain(begun, rest):
        for device, one in made.timed.items():
            devices.setdefault(device, f"ms on {device} (batch {one.table.batch})")
            about.setdefault(
                (device, one.table.digest),
                [device, one.table.device, one.table.method, held_out_error(one.table, made.of.space)],
            )
            modelled |= one.modelled
        rows.append({"": made.of.name, **{device: _total(one) for device, one in made.timed.items()}})
    table(["architecture", *devices.values()], [[row[""], *(row.get(one, "") for one in devices)] for row in rows])
    if modelled:
        click.echo(MODELLED)
    click.echo()
    table(["device", "table", "method", "error, held out"], about.values())


def _total(one: NetworkLatency) -> str:
    return f"{'~' if one.modelled else ''}{one.total:.4g}"

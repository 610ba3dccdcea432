"""A latency table of foreign rows: what they cover, and an operator model of them where one is wanted."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain, product

import numpy as np

from nasctl import registry
from nasctl.api import BadOption, Emission, NasctlError, SearchSpace
from nasctl.hardware.distinct_blocks import distinct_blocks
from nasctl.hardware.fitting.operators import FEWEST, FOLDS, accuracy, cross_predictions, fitted
from nasctl.hardware.importers import Entry, Reading, Source, dialect, merged, recognised
from nasctl.hardware.operator_model import features
from nasctl.hardware.table import LatencyTable
from nasctl.hardware.tables_schema import Row

WIDTHS = (1.0, 1.2, 1.3)  # of published networks
HELD_OUT = (
    f"blocks, for what the operator model covers beside the table's rows; {FOLDS} folds, blocks that differ in the "
    "image's size alone held out together"
)


@dataclass(frozen=True)
class Imported:
    """A table of foreign rows, and what there is to say about it."""

    table: LatencyTable
    read: int  # rows of the files that blocks of nasctl stand for
    left_out: Mapping[str, int]  # how many were not, by the reason
    repeated: int  # blocks that several rows stand for
    apart: float  # the largest difference of two such rows, % of their mean
    covered: tuple[str, ...]  # normal specs of the spaces of which no block is missing
    nearest: tuple[str, str]  # where none is: the spec that lacks least of one network, and the first that it lacks


def imported(
    empty: LatencyTable, sources: Sequence[Source], named: str | None, part: str | None, model: bool
) -> Imported:
    """All rows of some files as one table.

    Args:
        empty: The table without its rows.
        sources: The files.
        named: Their dialect; None to tell it by their keys.
        part: The device that is wanted of files that hold several.
        model: Whether to fit an operator model too.

    Raises:
        NasctlError: A file is of no such dialect, or nothing can be made of it.
    """
    readings = [_read(source, named, part) for source in sources]
    overheads = {reading.overhead for reading in readings}
    if len(overheads) > 1:
        raise NasctlError("the files give networks different overheads; import them one by one")
    found = merged(entry for reading in readings for entry in reading.entries)
    inferred = [note for reading in readings for note in reading.inferred]
    if found.repeated:
        inferred.append(
            f"Of {found.repeated} blocks the source has several rows, which differ by up to {found.apart:.0f}%; their "
            "mean is taken."
        )
    table = replace(
        empty,
        blocks={key: _row(entry) for key, entry in found.entries.items()},
        overhead=overheads.pop(),
        inferred=tuple(dict.fromkeys(inferred)),
    )
    emissions = [entry.emission for entry in found.entries.values()]
    known = [(spec, registry.create("spaces", spec)) for reading in readings for spec in reading.spaces]
    covered, nearest = _coverage(table, chain(known, _spaces(emissions)))
    left_out = sum((Counter(reading.left_out) for reading in readings), Counter[str]())
    read = sum(len(reading.entries) for reading in readings)
    table = modelled(table, emissions) if model else table
    return Imported(table, read, left_out, found.repeated, found.apart, covered, nearest)


def modelled(table: LatencyTable, emissions: Sequence[Emission]) -> LatencyTable:
    """The table with an operator model of its rows, and how well that predicts blocks that it has not seen.

    Raises:
        NasctlError: There are too few rows.
    """
    # What costs nothing cannot be met with a small relative error.
    priced = [one for one in emissions if table.blocks[one.key].ms]
    if len(priced) < FEWEST:
        raise NasctlError("the rows are too few for an operator model; leave --model out")
    samples = [features(emission) for emission in priced]
    ms = np.array([table.blocks[one.key].ms for one in priced])
    guesses = cross_predictions(samples, ms, [sizeless(one) for one in priced])
    known = np.isfinite(guesses)
    found = (accuracy(HELD_OUT, guesses[known], ms[known], against="blocks"),) if known.any() else ()
    return replace(table, operators=fitted(samples, ms), validation=(*table.validation, *found))


def sizeless(emission: Emission) -> str:
    """The key without the size of the image: blocks that share it are held out together."""
    call, _, shapes = emission.key.partition(" @ ")
    return f"{call} @ {', '.join(shape.partition('x')[0] for shape in shapes.split(', '))}"


def _read(source: Source, named: str | None, part: str | None) -> Reading:
    """The rows of one file; an error names the file."""
    name = named or recognised(source)
    chosen = dialect(name)
    if not chosen.claims(source.content):
        raise NasctlError(f"{source.path} has no keys that only {name} tables have; leave --format out")
    try:
        return chosen.read(source.content, part)
    except NasctlError as error:
        raise NasctlError(f"{source.path} is no {name} table: {error}") from None


def _row(entry: Entry) -> Row:
    # A row with a spread says of how many rounds; where the source does not, it has the latency alone.
    return Row(round(entry.ms, 9), round(entry.iqr or 0.0, 9), entry.n) if entry.n else Row(round(entry.ms, 9))


def _spaces(emissions: Sequence[Emission]) -> Iterator[tuple[str, SearchSpace]]:
    """Every space that there is at the sizes of the images that the rows have, by spec."""
    images = {shape for one in emissions for shape in one.in_shapes if len(shape) == 3 and shape[0] == 3}
    sizes = sorted({height for _, height, width in images if height == width})
    for name in registry.trusted("spaces"):
        if not registry.optional("spaces", name):
            continue
        kind = registry.load("spaces", name)
        takes = inspect.signature(kind).parameters
        resolutions = [{"resolution": size} for size in sizes] if "resolution" in takes else [{}]
        widths = [{"width": width} for width in WIDTHS] if "width" in takes else [{}]
        for options in (resolution | width for resolution, width in product(resolutions, widths)):
            with suppress(BadOption):  # it has no images of that size
                yield f"{name}:{','.join(f'{key}={value}' for key, value in options.items())}", kind(**options)


def _coverage(
    table: LatencyTable, spaces: Iterable[tuple[str, SearchSpace]]
) -> tuple[tuple[str, ...], tuple[str, str]]:
    """The specs of which the table has every block; and the one that comes nearest, with a block that it lacks."""
    covered: list[str] = []
    fewest, nearest = float("inf"), ("", "")
    for spec, space in spaces:
        # One network tells most spaces apart, for a thousandth of the time.
        spans = space.network(space.canonical((0,) * len(space.genes))).spans
        missing = [span.emission.key for span in spans if span.emission.key not in table.blocks]
        lacks = missing or [key for key in distinct_blocks(space) if key not in table.blocks]
        if not lacks:
            covered.append(_normal(spec))
        elif len(missing) < fewest and len(missing) < len(spans):
            fewest, nearest = len(missing), (_normal(spec), lacks[0])
    return tuple(dict.fromkeys(covered)), nearest


def _normal(spec: str) -> str:
    return registry.normal("spaces", spec.removesuffix(":"))

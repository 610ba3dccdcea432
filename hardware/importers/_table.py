"""Construction of a latency table from foreign rows: the search spaces it covers, and an optional operator model."""

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
from nasctl.hardware.fitting.operators import FOLDS, MIN_SAMPLES, cross_val_predict, evaluate_predictions, fit_operators
from nasctl.hardware.importers import Entry, Reading, SourceFile, dialect, merge, recognise_dialect
from nasctl.hardware.operator_model import features
from nasctl.hardware.table import LatencyTable
from nasctl.hardware.tables_schema import Row

WIDTHS = (1.0, 1.2, 1.3)  # width multipliers of published networks, with which spaces are tried
HELD_OUT = (
    f"blocks, for what the operator model covers beside the table's rows; {FOLDS} folds, blocks that differ in the "
    "image's size alone held out together"
)


@dataclass(frozen=True)
class ImportedTable:
    """A table of foreign rows, and a report about the import."""

    table: LatencyTable
    read: int  # rows of the files with a supported key
    left_out: Mapping[str, int]  # number of other rows, by reason
    repeated: int  # blocks with several rows
    apart: float  # largest difference between rows of one block, % of their mean
    covered: tuple[str, ...]  # normal specs of the spaces without a missing block
    nearest: tuple[str, str]  # if there are none: the spec that lacks the fewest blocks, and the first missing key


def build_table(
    empty: LatencyTable, sources: Sequence[SourceFile], named: str | None, part: str | None, model: bool
) -> ImportedTable:
    """Build one table from all rows of some files.

    Args:
        empty: The table without its rows.
        sources: The files.
        named: Their dialect; None to recognise it by their keys.
        part: Name of one device, for files that hold several.
        model: Also fit an operator model.

    Raises:
        NasctlError: A file is not a table of the dialect, or the files contradict each other.
    """
    readings = [_read(source, named, part) for source in sources]
    overheads = {reading.overhead for reading in readings}
    if len(overheads) > 1:
        raise NasctlError("the files give networks different overheads; import them one by one")
    found = merge(entry for reading in readings for entry in reading.entries)
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
    table = with_operator_model(table, emissions) if model else table
    return ImportedTable(table, read, left_out, found.repeated, found.apart, covered, nearest)


def with_operator_model(table: LatencyTable, emissions: Sequence[Emission]) -> LatencyTable:
    """Return the table with an operator model fitted to its rows, and the cross-validated error of that model.

    Raises:
        NasctlError: There are too few rows.
    """
    # Relative errors are not defined for rows of 0 ms.
    priced = [one for one in emissions if table.blocks[one.key].ms]
    if len(priced) < MIN_SAMPLES:
        raise NasctlError("the rows are too few for an operator model; leave --model out")
    samples = [features(emission) for emission in priced]
    ms = np.array([table.blocks[one.key].ms for one in priced])
    guesses = cross_val_predict(samples, ms, [key_without_size(one) for one in priced])
    known = np.isfinite(guesses)
    found = (evaluate_predictions(HELD_OUT, guesses[known], ms[known], against="blocks"),) if known.any() else ()
    return replace(table, operators=fit_operators(samples, ms), validation=(*table.validation, *found))


def key_without_size(emission: Emission) -> str:
    """Return the emission key without image sizes; blocks with the same result are held out together."""
    block, _, shapes = emission.key.partition(" @ ")
    return f"{block} @ {', '.join(shape.partition('x')[0] for shape in shapes.split(', '))}"


def _read(source: SourceFile, named: str | None, part: str | None) -> Reading:
    """Return the rows of one file; errors name the file."""
    name = named or recognise_dialect(source)
    chosen = dialect(name)
    if not chosen.claims(source.content):
        raise NasctlError(f"{source.path} has no keys that only {name} tables have; leave --format out")
    try:
        return chosen.read(source.content, part)
    except NasctlError as error:
        raise NasctlError(f"{source.path} is no {name} table: {error}") from None


def _row(entry: Entry) -> Row:
    """Return the row of an entry; without the number of timings, only the latency is kept."""
    return Row(round(entry.ms, 9), round(entry.iqr or 0.0, 9), entry.n) if entry.n else Row(round(entry.ms, 9))


def _spaces(emissions: Sequence[Emission]) -> Iterator[tuple[str, SearchSpace]]:
    """Yield all search spaces, with their specs, at the image sizes of the rows and at the published widths."""
    images = {shape for one in emissions for shape in one.in_shapes if len(shape) == 3 and shape[0] == 3}
    sizes = sorted({height for _, height, width in images if height == width})
    for name in registry.names_without_options("spaces"):
        kind = registry.load("spaces", name)
        takes = inspect.signature(kind).parameters
        resolutions = [{"resolution": size} for size in sizes] if "resolution" in takes else [{}]
        widths = [{"width": width} for width in WIDTHS] if "width" in takes else [{}]
        for options in (resolution | width for resolution, width in product(resolutions, widths)):
            with suppress(BadOption):  # Some spaces do not support all image sizes.
                yield f"{name}:{','.join(f'{key}={value}' for key, value in options.items())}", kind(**options)


def _coverage(
    table: LatencyTable, spaces: Iterable[tuple[str, SearchSpace]]
) -> tuple[tuple[str, ...], tuple[str, str]]:
    """Return the specs of spaces without a missing block, and the nearest other spec with a key that it lacks."""
    covered: list[str] = []
    fewest, nearest = float("inf"), ("", "")
    for spec, space in spaces:
        # One network rules out most spaces, in a thousandth of the time that all blocks take.
        spans = space.network(space.canonical((0,) * len(space.genes))).spans
        missing = [span.emission.key for span in spans if span.emission.key not in table.blocks]
        lacks = missing or [key for key in distinct_blocks(space) if key not in table.blocks]
        if not lacks:
            covered.append(_normal(spec))
        elif len(missing) < fewest and len(missing) < len(spans):
            fewest, nearest = len(missing), (_normal(spec), lacks[0])
    return tuple(dict.fromkeys(covered)), nearest


def _normal(spec: str) -> str:
    """Return the normal spec of a spec that may end in a colon."""
    return registry.normal("spaces", spec.removesuffix(":"))

"""Import of published latency tables: one module per dialect, found by its name, maps keys to blocks of nasctl."""

from __future__ import annotations

import hashlib
import pkgutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from nasctl.api import Emission, NasctlError, UnknownName
from nasctl.system import files, yaml_text

LIMIT = 1 << 24  # bytes of a file, also after unpacking: 16 MiB, ten times the largest known table
MAX_MS = 1e9  # largest latency, in ms: eleven days
NORMAL_IQR = 1.349  # interquartile range of a normal distribution, in standard deviations


class UnsupportedKey(Exception):
    """A key of a foreign table that no block of nasctl corresponds to; the message is the reason."""


class Entry(NamedTuple):
    """One row of a foreign table."""

    emission: Emission  # emission of the block that corresponds to the key
    ms: float
    iqr: float | None = None  # interquartile range in ms; None if the source states no spread
    n: int = 0  # number of timings; 0 if the source does not state it


@dataclass(frozen=True)
class Reading:
    """The content of a foreign table in terms of nasctl."""

    entries: tuple[Entry, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)  # number of unsupported rows, by reason
    inferred: tuple[str, ...] = ()  # sentences about facts that the source does not state and that were inferred
    overhead: float = 0.0  # ms per network, in addition to its blocks
    spaces: tuple[str, ...] = ()  # specs of search spaces that the table is known to be about


class Dialect(Protocol):
    """A format of published latency tables; the name of its module is the value of `--format`."""

    def claims(self, content: Mapping[str, Any]) -> bool:
        """Return whether the content has keys that only this dialect uses."""
        ...

    def read(self, content: Mapping[str, Any], part: str | None) -> Reading:
        """Read all rows of a table.

        Args:
            content: The parsed file.
            part: Name of one device, for a file that holds several.

        Raises:
            NasctlError: The content is not a table of this dialect.
        """
        ...


@dataclass(frozen=True)
class SourceFile:
    """A foreign table as it was read."""

    path: Path
    sha256: str  # of the bytes of the file, before unpacking
    content: Mapping[str, Any]


def dialect_names() -> list[str]:
    """Return the names of all dialects, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def dialect(name: str) -> Dialect:
    """Return the dialect of that name.

    Raises:
        UnknownName: No dialect has that name.
    """
    found = name.replace("-", "_")
    if found not in dialect_names():
        raise UnknownName("format", name, dialect_names())
    module = import_module(f"{__name__}.{found}")
    (public,) = module.__all__
    made: Dialect = getattr(module, public)()
    return made


def recognise_dialect(source: SourceFile) -> str:
    """Return the name of the only dialect that claims a file.

    Raises:
        NasctlError: No dialect claims the file, or several do.
    """
    claiming = [name for name in dialect_names() if dialect(name).claims(source.content)]
    if len(claiming) == 1:
        return claiming[0]
    if not claiming:
        raise NasctlError(f"{source.path} has no keys of a known format, which are {', '.join(dialect_names())}")
    raise NasctlError(f"{source.path} has keys of several formats; say which with --format {'|'.join(claiming)}")


def read_source(path: Path) -> SourceFile:
    """Read a file of YAML 1.2 or JSON, with or without gzip compression.

    Raises:
        NasctlError: The file cannot be read, is too large, or is not an object at its top level.
    """
    suffixes = path.suffixes[-2:]
    packed = suffixes[-1:] == [".gz"]
    kind = (suffixes[:-1] if packed else suffixes)[-1:]
    if kind not in ([".json"], [".yaml"], [".yml"]):
        raise NasctlError(f"{path} ends in none of .json, .yaml, .yml (and .gz behind them); rename it to what it is")
    try:
        raw = files.read(path, LIMIT)
        text = files.unpacked(raw, LIMIT) if packed else raw
    except OSError as error:
        raise NasctlError(f"{path} cannot be read: {error.strerror}; name another file") from None
    return SourceFile(path, hashlib.sha256(raw).hexdigest(), _parse(path, kind == [".json"], text))


def read_rows(
    content: Mapping[str, Any], part: str | None, block: Callable[[str], Emission], inferred: Sequence[str]
) -> Reading:
    """Read a table with one value per key: ms, or an object with "mean" and optionally "std" or "var", and "count".

    Args:
        content: The values by key.
        part: Must be None, because such a table is of one device.
        block: Function that returns the emission for a key, or raises `UnsupportedKey`.
        inferred: Sentences about facts that the dialect infers for all of its tables.

    Raises:
        NasctlError: A value has another form, no key is supported, or a part was requested.
    """
    if part is not None:
        raise NasctlError(f"it holds one device; leave --part {part} out")
    entries, left_out, spread = [], Counter[str](), False
    for key, value in content.items():
        ms, iqr, n = _latency(key, value)
        spread |= iqr is not None
        try:
            entries.append(Entry(block(key), ms, iqr, n))
        except UnsupportedKey as reason:
            left_out[str(reason)] += 1
    if not entries:
        raise NasctlError(f"no row of it is a block of nasctl; the first reason is: {next(iter(left_out), 'no rows')}")
    notes = ["The source gives means; they stand in the place of medians."] if spread else []
    if spread:
        notes.append(f"Interquartile ranges are {NORMAL_IQR} of its standard deviations, as of a normal distribution.")
    return Reading(tuple(entries), dict(left_out), (*inferred, *notes))


class Merged(NamedTuple):
    """The rows of several readings, one per block."""

    entries: Mapping[str, Entry]  # by emission key
    repeated: int  # blocks with several rows
    apart: float  # largest difference between rows of one block, % of their mean


def merge(entries: Iterable[Entry]) -> Merged:
    """Merge rows of the same block into their mean, and sort them by emission key."""
    by_key: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_key[entry.emission.key].append(entry)
    out, apart, repeated = {}, 0.0, 0
    for key, found in sorted(by_key.items()):
        first, number = found[0], len(found)
        if number > 1:
            ms = sum(one.ms for one in found) / number
            repeated += 1
            apart = max(apart, 100 * (max(one.ms for one in found) - min(one.ms for one in found)) / (ms or 1.0))
            iqrs = [one.iqr for one in found if one.iqr is not None]
            iqr = sum(iqrs) / len(iqrs) if iqrs else None
            first = Entry(first.emission, ms, iqr, sum(one.n for one in found))
        out[key] = first
    return Merged(out, repeated, apart)


def checked_number(value: object, where: str) -> float:
    """Return a number from 0 to `MAX_MS`.

    Args:
        value: The value to check.
        where: Its description for the message.

    Raises:
        NasctlError: The value is not such a number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_MS:
        # Lists and objects are not shown, because aliases make the text of a small YAML file arbitrarily long.
        shown = repr(value)[:40] if isinstance(value, str | float) else f"of the type {type(value).__name__}"
        raise NasctlError(f"{where} is {shown}, not a number from 0 to {MAX_MS:g}")
    return float(value)


def _latency(key: object, value: object) -> tuple[float, float | None, int]:
    """Return the latency in ms, its interquartile range if known, and the number of timings."""
    where = f"its value of {str(key)[:80]!r}"
    if not isinstance(value, Mapping):
        return checked_number(value, where), None, 0
    if "mean" not in value:
        raise NasctlError(f'{where} has no "mean"')
    given = {str(name): checked_number(one, f"{name!r} in {where}") for name, one in value.items()}
    std = given.get("std", given["var"] ** 0.5 if "var" in given else None)
    return given["mean"], None if std is None else NORMAL_IQR * std, int(given.get("count", 0))


def _parse(path: Path, is_json: bool, text: bytes) -> Mapping[str, Any]:
    """Parse JSON or YAML 1.2, in which objects with a key twice are refused."""
    # JSON is YAML, but not every parser of YAML reads all of JSON, such as "\ud83d\ude00".
    kinds = [("JSON", files.parsed)] if is_json or text.lstrip().startswith(b"{") else []
    kinds += [] if is_json else [("YAML", yaml_text.load)]
    for kind, parse in kinds:
        try:
            content = parse(text)
            break
        except ValueError as error:
            reason = f"{path} is no {kind}: {' '.join(str(error).split())[:120]}"
    else:
        raise NasctlError(reason)
    if not isinstance(content, dict) or not content or not all(isinstance(key, str) for key in content):
        raise NasctlError(f"{path} is no latency table: its top is not an object of named rows")
    return content

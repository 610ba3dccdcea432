"""Foreign latency tables: a module for each dialect, found by its name, turns their keys into blocks of nasctl."""

from __future__ import annotations

import hashlib
import pkgutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import yaml

from nasctl.api import Emission, NasctlError, UnknownName
from nasctl.system import files

LIMIT = 1 << 24  # bytes of a file, unpacked: ten times the largest table known
DEEPEST = 8  # levels of nesting; tables have up to four
LONGEST = 1e9  # ms, eleven days
NORMAL_IQR = 1.349  # interquartile range of a normal distribution, in standard deviations


class LeftOut(Exception):
    """A key stands for something that no block of nasctl is; the message says what."""


class Entry(NamedTuple):
    """One row of a foreign table."""

    emission: Emission  # of the block that the row's key stands for
    ms: float
    iqr: float | None = None  # None where the source says nothing about its spread
    n: int = 0  # times that it was measured; 0 where the source does not say


@dataclass(frozen=True)
class Reading:
    """What a foreign table says in nasctl's terms, and what it says beside that."""

    entries: tuple[Entry, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)  # how many rows, by the reason
    inferred: tuple[str, ...] = ()  # sentences: what the source does not say and was concluded
    overhead: float = 0.0  # ms that a network takes beside its blocks
    spaces: tuple[str, ...] = ()  # specs of spaces that it is known to be about


class Dialect(Protocol):
    """A way to write latency tables. The module's file name is what a person types."""

    def claims(self, content: Mapping[str, Any]) -> bool:
        """Whether the content has keys that only this dialect writes."""
        ...

    def read(self, content: Mapping[str, Any], part: str | None) -> Reading:
        """All rows; `part` names one device of a file that holds several.

        Raises:
            NasctlError: The content is no such table.
        """
        ...


@dataclass(frozen=True)
class Source:
    """A file as it was read."""

    path: Path
    sha256: str
    content: Mapping[str, Any]


def names() -> list[str]:
    """Every dialect, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def dialect(name: str) -> Dialect:
    """The dialect of that name.

    Raises:
        UnknownName: There is none.
    """
    found = name.replace("-", "_")
    if found not in names():
        raise UnknownName("format", name, names())
    module = import_module(f"{__name__}.{found}")
    (public,) = module.__all__
    made: Dialect = getattr(module, public)()
    return made


def recognised(source: Source) -> str:
    """The one dialect that claims a file.

    Raises:
        NasctlError: None does, or several do.
    """
    claiming = [name for name in names() if dialect(name).claims(source.content)]
    if len(claiming) == 1:
        return claiming[0]
    if not claiming:
        raise NasctlError(f"{source.path} has no keys of a known format, which are {', '.join(names())}")
    raise NasctlError(f"{source.path} has keys of several formats; say which with --format {'|'.join(claiming)}")


def opened(path: Path) -> Source:
    """A YAML or JSON file, packed with gzip or not.

    Raises:
        NasctlError: It cannot be read, is too large, or is no object at its top.
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
    return Source(path, hashlib.sha256(raw).hexdigest(), _parsed(path, kind == [".json"], text))


def rows(
    content: Mapping[str, Any], part: str | None, block: Callable[[str], Emission], inferred: Sequence[str]
) -> Reading:
    """A table that has one value for each key: a number of milliseconds, or an object of mean, std or var, count.

    Args:
        content: By key.
        part: None; such a table is of one device.
        block: The emission that a key stands for; raises `LeftOut` where there is none.
        inferred: What the dialect concludes about every such table.

    Raises:
        NasctlError: A value is neither, or no row is left, or a part is asked for.
    """
    if part is not None:
        raise NasctlError(f"it holds one device; leave --part {part} out")
    entries, left_out, spread = [], Counter[str](), False
    for key, value in content.items():
        ms, iqr, n = _figures(key, value)
        spread |= iqr is not None
        try:
            entries.append(Entry(block(key), ms, iqr, n))
        except LeftOut as reason:
            left_out[str(reason)] += 1
    if not entries:
        raise NasctlError(f"no row of it is a block of nasctl; the first reason is: {next(iter(left_out), 'no rows')}")
    notes = ["The source gives means; they stand in the place of medians."] if spread else []
    if spread:
        notes.append(f"Interquartile ranges are {NORMAL_IQR} of its standard deviations, as of a normal distribution.")
    return Reading(tuple(entries), dict(left_out), (*inferred, *notes))


class Merged(NamedTuple):
    """The rows of several readings, one for each key."""

    entries: Mapping[str, Entry]
    repeated: int  # keys that several rows stand for
    apart: float  # the largest difference of two rows of one key, % of their mean


def merged(entries: Iterable[Entry]) -> Merged:
    """One entry for each block: the mean where several rows stand for it, in the order of the keys."""
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


def number(value: object, where: str) -> float:
    """A number from 0 to LONGEST.

    Raises:
        NasctlError: The value is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LONGEST:
        # A list or an object is not spelled out: aliases of YAML can make a small one endless.
        shown = repr(value)[:40] if isinstance(value, str | float) else f"of the type {type(value).__name__}"
        raise NasctlError(f"{where} is {shown}, not a number from 0 to {LONGEST:g}")
    return float(value)


def _figures(key: object, value: object) -> tuple[float, float | None, int]:
    """Milliseconds, their interquartile range and how often it was measured."""
    where = f"its value of {str(key)[:80]!r}"
    if not isinstance(value, Mapping):
        return number(value, where), None, 0
    if "mean" not in value:
        raise NasctlError(f'{where} has no "mean"')
    given = {str(name): number(one, f"{name!r} in {where}") for name, one in value.items()}
    std = given.get("std", given["var"] ** 0.5 if "var" in given else None)
    return given["mean"], None if std is None else NORMAL_IQR * std, int(given.get("count", 0))


def _shallow(path: Path, events: Iterable[yaml.Event]) -> None:
    """Refuse what tables do not have, and the loader has no bounds for.

    What nests deep makes the C loader run out of its stack, and ends the process; objects merged into objects double in
    size each time.
    """
    depth = 0
    for event in events:
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise NasctlError(f"{path} is no latency table: it nests deeper than {DEEPEST} levels")
        if isinstance(event, yaml.ScalarEvent) and event.value == "<<":
            raise NasctlError(f"{path} is no latency table: it merges objects (<<); write them out")


def _parsed(path: Path, is_json: bool, text: bytes) -> Mapping[str, Any]:
    try:
        # The C loader of the same safe subset, where libyaml is there, is ten times faster.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        if not is_json:
            _shallow(path, yaml.parse(text, Loader=loader))
        content = files.parsed(text) if is_json else yaml.load(text, Loader=loader)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())[:120]
        raise NasctlError(f"{path} is no {'JSON' if is_json else 'YAML'}: {reason}") from None
    if not isinstance(content, dict) or not content or not all(isinstance(key, str) for key in content):
        raise NasctlError(f"{path} is no latency table: its top is not an object of named rows")
    return content

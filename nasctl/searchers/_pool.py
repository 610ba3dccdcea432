"""A pool of scored architectures, as `nasctl objective score` writes it, for searchers that choose from a table."""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from collections.abc import Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import numpy as np

from nasctl.api import BadOption, Genome, InvalidGenome, Notation, Problem, SearchSpace, decode, validate

LIMIT = 1 << 28  # maximum size of a decompressed table in bytes
# Remedy that messages about a missing table end with.
HOW_TO_MAKE = (
    "make one with nasctl objective score --space SPACE --sample 2000 --output pool.csv, and give it as pool=pool.csv"
)


class Pool:
    """Architectures of a search space and their scores.

    Args:
        problem: Search problem. Architectures that violate its constraints on costs come last in every order.
        name: CSV file, compressed or not, or name of a table that nasctl ships. "" selects the shipped table of the
            space.
        metrics: Columns of the table.

    Raises:
        BadOption: The table does not exist, lacks a column, or holds architectures of another space.
    """

    def __init__(self, problem: Problem, name: str, metrics: Sequence[str]) -> None:
        if not metrics or len(set(metrics)) < len(metrics):
            raise BadOption(f"metrics must name columns of the pool, each once, got metrics={','.join(metrics)}")
        file = _find_table(problem.space, name)
        scores: dict[Genome, list[float]] = {}
        for text, row in _read_rows(file, metrics):
            # The first row of equivalent architectures counts.
            scores.setdefault(_parse_genome(text, problem.space, file), row)
        self.genomes = list(scores)  # (P,), canonical
        self.scores = np.array(list(scores.values()))  # (P, K), NaN where a metric failed
        empty = [metric for metric, failed in zip(metrics, np.isnan(self.scores).all(axis=0), strict=True) if failed]
        if empty:
            raise BadOption(f"{file.name} has no value of {empty[0]!r}; remove {empty[0]!r} from metrics")
        self._violations = problem.violation(self.genomes)  # (P,)

    def best_first(self, values: np.ndarray) -> np.ndarray:
        """Return the positions of all architectures by ascending violation, then by descending value, (P,)."""
        return np.lexsort((-values, self._violations))


def _find_table(space: SearchSpace, name: str) -> Traversable:
    """Return the table of that name, or the table that nasctl ships for the space if the name is "".

    Raises:
        BadOption: The table does not exist. The message says how to make one.
    """
    if name.endswith((".csv", ".csv.gz")):
        if not Path(name).is_file():
            raise BadOption(f"there is no file {name}; {HOW_TO_MAKE}")
        return Path(name)
    shipped = {one.name.removesuffix(".csv.gz"): one for one in files("nasctl").joinpath("benchmarks").iterdir()}
    tables = {key: shipped[key] for key in sorted(shipped) if shipped[key].name.endswith(".csv.gz")}
    if name and name not in tables:
        raise BadOption(f"nasctl ships no table {name!r}; it ships {', '.join(tables)}; {HOW_TO_MAKE}")
    if name:
        return tables[name]
    if isinstance(space, Notation):  # a number or an id in a table could be an architecture of many spaces
        for file in tables.values():
            if space.parse(_read_rows(file, ())[0][0]) is not None:
                return file
    raise BadOption(f"nasctl ships no scores of this space; {HOW_TO_MAKE}")


def _read_rows(file: Traversable, metrics: Sequence[str]) -> list[tuple[str, list[float]]]:
    """Return the text of each architecture, from the first column, and its metrics, (K,).

    Raises:
        BadOption: The file is not such a table, or lacks a column.
    """
    try:
        content = file.read_bytes()
        if content.startswith(b"\x1f\x8b"):
            with gzip.open(io.BytesIO(content)) as compressed:
                content = compressed.read(LIMIT + 1)  # a small file may decompress to any size
        if len(content) > LIMIT:
            raise ValueError
        text = content.decode()
        header, *lines = [line for line in csv.reader(io.StringIO(text, newline="")) if line]
        if len(set(header)) < len(header):
            raise ValueError
        columns = [header.index(metric) for metric in metrics if metric in header[1:]]
        rows = [(line[0], [_parse_number(line[column]) for column in columns]) for line in lines]
    except (OSError, EOFError, ValueError, IndexError, csv.Error, zlib.error):
        raise BadOption(f"{file.name} is not a table of scores; nasctl objective score writes one") from None
    if missing := [metric for metric in metrics if metric not in header[1:]]:
        raise BadOption(f"{file.name} has no column {missing[0]!r}; its metrics are {', '.join(header[1:])}")
    if not rows:
        raise BadOption(f"{file.name} has no architectures; {HOW_TO_MAKE}")
    return rows


def _parse_number(cell: str) -> float:
    """Return the number in a cell, or NaN where a metric failed."""
    value = float(cell) if cell else math.nan
    return value if math.isfinite(value) else math.nan


def _parse_genome(text: str, space: SearchSpace, file: Traversable) -> Genome:
    """Return the canonical genome of a text.

    Raises:
        BadOption: The text is no architecture of this space.
    """
    if (genome := _try_parse(text, space)) is None:
        raise BadOption(f"{file.name} has {text!r}, which is no architecture of this space; give a table of this space")
    return genome


def _try_parse(text: str, space: SearchSpace) -> Genome | None:
    """Return the canonical genome of a text, or None if the text is no architecture of the space.

    A text is an architecture in the notation of the space, an id, or choices such as "0,3,1".
    """
    parse = space.parse if isinstance(space, Notation) else None
    try:
        genome: Genome | None = parse(text) if parse else None
        if genome is None:
            head, dash, word = text.rpartition("-")
            if not dash:
                genome = tuple(map(_parse_choice, text.split(",")))
            elif _is_id_of_another_space(head, space):
                return None
            else:
                genome = decode(word, space.genes)
        validate(space.genes, genome)
        return space.canonical(genome)
    except (ValueError, KeyError, InvalidGenome):
        return None


def _parse_choice(text: str) -> int:
    """Return the number of a choice. "00000010" is none: a benchmark writes whole architectures in such digits.

    Raises:
        ValueError: The text is not how a choice is written.
    """
    if str(int(text)) != text.strip():
        raise ValueError(text)
    return int(text)


def _is_id_of_another_space(head: str, space: SearchSpace) -> bool:
    """Return whether an id begins with the name of another space, as far as the name of this space is known."""
    package, _, module = type(space).__module__.rpartition(".")
    return package == "nasctl.spaces" and head.partition(".")[0] != module

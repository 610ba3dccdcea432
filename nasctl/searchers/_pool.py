"""A pool of scored architectures, as `nasctl objective score` writes one, for searchers that need no more than that."""

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

LIMIT = 1 << 28  # bytes of a table, unpacked
MAKE = (
    "make one with nasctl objective score --space SPACE --sample 2000 --output pool.csv, and give it as pool=pool.csv"
)


class Pool:
    """Architectures of a space and their scores.

    Args:
        problem: The search; those that break its constraints on costs come after all others in any order.
        name: A CSV file, packed or not, or the name of a table that nasctl ships; "" stands for the one of the space.
        metrics: Columns of the table.

    Raises:
        BadOption: There is no such table, or it has no such column, or its architectures are not of this space.
    """

    def __init__(self, problem: Problem, name: str, metrics: Sequence[str]) -> None:
        if not metrics or len(set(metrics)) < len(metrics):
            raise BadOption(f"name metrics of the pool, each once, not metrics={','.join(metrics)}")
        file = _file(problem.space, name)
        scores: dict[Genome, list[float]] = {}
        for text, row in _rows(file, metrics):
            scores.setdefault(_genome(text, problem.space, file), row)  # of equivalent ones the first
        self.genomes = list(scores)  # (P,), canonical
        self.scores = np.array(list(scores.values()))  # (P, K), NaN where there is none
        empty = [metric for metric, failed in zip(metrics, np.isnan(self.scores).all(axis=0), strict=True) if failed]
        if empty:
            raise BadOption(f"{file.name} holds no value of {empty[0]}; leave it out of the metrics")
        self._excess = problem.violation(self.genomes)  # (P,)

    def best_first(self, values: np.ndarray) -> np.ndarray:
        """Positions of all architectures, those of the highest value, (P,), first."""
        return np.lexsort((-values, self._excess))


def _file(space: SearchSpace, name: str) -> Traversable:
    """The table of that name, or the one that nasctl ships of the space.

    Raises:
        BadOption: There is none; the message says how to make one.
    """
    if name.endswith((".csv", ".csv.gz")):
        if not Path(name).is_file():
            raise BadOption(f"there is no file {name}; {MAKE}")
        return Path(name)
    shipped = {one.name.removesuffix(".csv.gz"): one for one in files("nasctl").joinpath("benchmarks").iterdir()}
    tables = {key: shipped[key] for key in sorted(shipped) if shipped[key].name.endswith(".csv.gz")}
    if name and name not in tables:
        raise BadOption(f"nasctl ships no table {name!r}, but {', '.join(tables)}; {MAKE}")
    for file in [tables[name]] if name else tables.values():
        if name or _spelled(_rows(file, ())[0][0], space) is not None:
            return file
    raise BadOption(f"nasctl ships no scores of this space; {MAKE}")


def _rows(file: Traversable, metrics: Sequence[str]) -> list[tuple[str, list[float]]]:
    """Architectures as the table writes them, in its first column, and their metrics, (K,).

    Raises:
        BadOption: The file is no such table, or lacks a column.
    """
    try:
        content = file.read_bytes()
        if content.startswith(b"\x1f\x8b"):
            with gzip.open(io.BytesIO(content)) as packed:
                content = packed.read(LIMIT + 1)  # of what can be any number of zeros
        if len(content) > LIMIT:
            raise ValueError
        text = content.decode()
        header, *lines = [line for line in csv.reader(io.StringIO(text, newline="")) if line]
        columns = [header.index(metric) for metric in metrics if metric in header[1:]]
        rows = [(line[0], [_number(line[column]) for column in columns]) for line in lines]
    except (OSError, EOFError, ValueError, IndexError, csv.Error, zlib.error):
        raise BadOption(f"{file.name} is no table of scores, which nasctl objective score writes") from None
    if missing := [metric for metric in metrics if metric not in header[1:]]:
        raise BadOption(f"{file.name} has no column {missing[0]!r}; its metrics are {', '.join(header[1:])}")
    if not rows:
        raise BadOption(f"{file.name} holds no architecture")
    return rows


def _number(cell: str) -> float:
    """The number in a cell, NaN where a metric failed."""
    value = float(cell) if cell else math.nan
    return value if math.isfinite(value) else math.nan


def _genome(text: str, space: SearchSpace, file: Traversable) -> Genome:
    """The canonical genome that a text stands for.

    Raises:
        BadOption: It is none of this space.
    """
    if (genome := _spelled(text, space)) is None:
        raise BadOption(f"{file.name} holds {text!r}, which is no architecture of this space")
    return genome


def _spelled(text: str, space: SearchSpace) -> Genome | None:
    """The canonical genome of a text in the space's own notation, of an id, or such as "0,3,1"; none if it is none."""
    parse = space.parse if isinstance(space, Notation) else None
    try:
        genome: Genome | None = parse(text) if parse else None
        if genome is None:
            named = "-" in text
            genome = decode(text.rpartition("-")[2], space.genes) if named else tuple(map(int, text.split(",")))
        validate(space.genes, genome)
        return space.canonical(genome)
    except (ValueError, KeyError, InvalidGenome):
        return None

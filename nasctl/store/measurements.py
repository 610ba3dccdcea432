"""Measurements of a genome, and the ledger that files them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from nasctl.problem.searcher import Evaluation
from nasctl.problem.space import Genome
from nasctl.store.connection import Connection

MEASURED = """
SELECT m.label, m.value, m.error, m.seconds FROM genome
JOIN measurement m ON m.genome = genome.id WHERE genome.space = ? AND genome.genes = ?
"""


class Measurement(NamedTuple):
    """One objective of one genome: a value or what went wrong, and the seconds that it took."""

    value: float | None
    error: str | None
    seconds: float


class Ledger:
    """The measurements of one space.

    Args:
        database: The store.
        space: The number that stands for its spec.
        labels: Under which measurements are filed, with the numbers that stand for them.
    """

    def __init__(self, database: Connection, space: int, labels: Mapping[str, int]) -> None:
        self._database, self._space, self._labels = database, space, labels

    def known(self, genome: Genome, labels: Collection[str]) -> dict[str, Measurement]:
        """What any run has measured of a genome under these labels."""
        with self._database.reading() as database:
            rows = database.execute(MEASURED, (self._space, spelled(genome))).fetchall()
        found = {number: Measurement(*rest) for number, *rest in rows}
        return {label: found[number] for label, number in self._labels.items() if label in labels and number in found}

    def file(self, genome: Genome, measured: Mapping[str, Measurement]) -> None:
        """Keep what was newly measured of a genome; what another process has filed in the meantime stays."""
        with self._database.writing():
            self._file(genome, measured)

    def replace(self, genome: Genome, measured: Mapping[str, Measurement]) -> None:
        """Keep what was measured again of a genome in place of errors; values stay."""
        with self._database.writing() as database:
            number = self._file(genome, {})
            rows = [(*measurement, number, self._labels[label]) for label, measurement in measured.items()]
            query = "UPDATE measurement SET value = ?, error = ?, seconds = ?"
            database.executemany(f"{query} WHERE genome = ? AND label = ? AND error IS NOT NULL", rows)

    def _file(self, genome: Genome, measured: Mapping[str, Measurement]) -> int:
        """Keep it as a part of the transaction that is open; returns the genome's number."""
        key, database = (self._space, spelled(genome)), self._database.connection
        find = "SELECT id FROM genome WHERE space = ? AND genes = ?"
        there = database.execute(find, key).fetchone()
        if there is None:
            database.execute("INSERT INTO genome (space, genes) VALUES (?, ?)", key)
            there = database.execute(find, key).fetchone()
        number = int(there[0])
        rows = [(number, self._labels[label], *measurement) for label, measurement in measured.items()]
        if rows:
            database.executemany("INSERT OR IGNORE INTO measurement VALUES (?, ?, ?, ?, ?)", rows)
        return number


def evaluation(genome: Genome, labels: Mapping[str, str], found: Mapping[str, Measurement]) -> Evaluation:
    """Measurements by label as an evaluation by objective."""
    by_name = {name: found[label] for name, label in labels.items() if label in found}
    values = {name: measurement.value for name, measurement in by_name.items() if measurement.value is not None}
    errors = {name: measurement.error for name, measurement in by_name.items() if measurement.error is not None}
    return Evaluation(genome, values, errors)


def spelled(genome: Genome) -> str:
    """A genome as the store writes it."""
    return ",".join(map(str, genome))


def read(text: str) -> Genome:
    """The genome that a text of the store stands for."""
    return tuple(map(int, text.split(",")))

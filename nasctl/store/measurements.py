"""Measurements of genomes, and the ledger that holds them in a store."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from nasctl.problem.searcher import Evaluation
from nasctl.problem.space import Genome
from nasctl.store.connection import Connection

MEASURED = """
SELECT m.label, m.value, m.error, m.seconds, coalesce(text.value, '') FROM genome
JOIN measurement m ON m.genome = genome.id LEFT JOIN text ON text.id = m.machine
WHERE genome.space = ? AND genome.genes = ?
"""


class Measurement(NamedTuple):
    """One objective measured of one genome: a value or an error.

    Attributes:
        value: The value; None if the objective failed.
        error: The error; None if it did not fail.
        seconds: Time that the measurement took.
        machine: Processor, instruction set and threads, as `nasctl.evaluation.machine` names them; "" if unknown, as
            in a store of an older nasctl.
    """

    value: float | None
    error: str | None
    seconds: float
    machine: str = ""


class Ledger:
    """The measurements of one search space in a store.

    Args:
        database: The store.
        space: Number of the space's spec in the store's table of texts.
        labels: Labels that measurements are filed under, each with its number in the table of texts.
    """

    def __init__(self, database: Connection, space: int, labels: Mapping[str, int]) -> None:
        self._database, self._space, self._labels = database, space, labels

    def known(self, genome: Genome, labels: Collection[str]) -> dict[str, Measurement]:
        """Return what any run has measured of a genome under the given labels, by label."""
        with self._database.reading() as database:
            rows = database.execute(MEASURED, (self._space, genome_text(genome))).fetchall()
        found = {number: Measurement(*rest) for number, *rest in rows}
        return {label: found[number] for label, number in self._labels.items() if label in labels and number in found}

    def file(self, genome: Genome, measured: Mapping[str, Measurement]) -> None:
        """File new measurements of a genome by label; a measurement that the store has already stays.

        Labels that are not the ledger's are filed too. `known` does not return them.
        """
        with self._database.writing():
            self._file(genome, measured)

    def replace(self, genome: Genome, measured: Mapping[str, Measurement]) -> None:
        """File repeated measurements of a genome by label in place of errors; values stay."""
        with self._database.writing() as database:
            number = self._file(genome, {})
            rows = [(*row, number, self._labels[label]) for label, row in self._rows(measured).items()]
            query = "UPDATE measurement SET value = ?, error = ?, seconds = ?, machine = ?"
            database.executemany(f"{query} WHERE genome = ? AND label = ? AND error IS NOT NULL", rows)

    def _file(self, genome: Genome, measured: Mapping[str, Measurement]) -> int:
        """File measurements in the open transaction, and return the genome's number in its table."""
        key, database = (self._space, genome_text(genome)), self._database.connection
        find = "SELECT id FROM genome WHERE space = ? AND genes = ?"
        row = database.execute(find, key).fetchone()
        if row is None:
            database.execute("INSERT INTO genome (space, genes) VALUES (?, ?)", key)
            row = database.execute(find, key).fetchone()
        number = int(row[0])
        numbers = {label: self._labels.get(label) or self._database.text(label) for label in measured}
        rows = [(number, numbers[label], *row) for label, row in self._rows(measured).items()]
        if rows:
            query = "INSERT OR IGNORE INTO measurement (genome, label, value, error, seconds, machine)"
            database.executemany(f"{query} VALUES (?, ?, ?, ?, ?, ?)", rows)
        return number

    def _rows(
        self, measured: Mapping[str, Measurement]
    ) -> dict[str, tuple[float | None, str | None, float, int | None]]:
        """Return measurements as the columns value, error, seconds and machine have them, by label."""
        number = self._database.text
        return {
            label: (one.value, one.error, one.seconds, number(one.machine) if one.machine else None)
            for label, one in measured.items()
        }


def evaluation(genome: Genome, labels: Mapping[str, str], found: Mapping[str, Measurement]) -> Evaluation:
    """Return measurements as an evaluation.

    Args:
        genome: The genome that was measured.
        labels: The label of each objective, by the objective's name. Others are left out.
        found: Measurements by label.
    """
    by_name = {name: found[label] for name, label in labels.items() if label in found}
    values = {name: measurement.value for name, measurement in by_name.items() if measurement.value is not None}
    errors = {name: measurement.error for name, measurement in by_name.items() if measurement.error is not None}
    return Evaluation(genome, values, errors)


def genome_text(genome: Genome) -> str:
    """Return the text that stands for a genome in the store."""
    return ",".join(map(str, genome))


def genome_of(text: str) -> Genome:
    """Return the genome that a text of the store stands for."""
    return tuple(map(int, text.split(",")))

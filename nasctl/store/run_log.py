"""Measurements of genomes in a store, and the path of one run through them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

from nasctl.errors import NasctlError, RunChanged
from nasctl.problem.space import Genome
from nasctl.store.connection import Connection
from nasctl.store.measurements import Ledger, Measurement, evaluation, spelled
from nasctl.store.run_record import RunRecord

BEFORE = """
SELECT genome.genes, visit.failed FROM visit JOIN genome ON genome.id = visit.genome WHERE run = ? AND position = ?
"""


class RunLog(Ledger):
    """One run's view of the store."""

    def __init__(
        self, database: Connection, record: RunRecord, run: str, number: int, space: int, labels: Mapping[str, int]
    ) -> None:
        super().__init__(database, space, labels)
        self.record = record
        self._run, self._number, self._position = run, number, 0

    def known(self, genome: Genome, labels: Collection[str], position: int | None = None) -> dict[str, Measurement]:
        """What any run has measured of a genome under these labels, as it was where the run has been before.

        Args:
            genome: Of the candidate.
            labels: Of what is looked for.
            position: The number that the visit has or will have in the run, from 0. What had failed when the run was
                there is told as failed again, though it has been measured since, so that a replay takes the same path.
        """
        found = super().known(genome, labels)
        if position is None:
            return found
        with self._database.reading() as database:
            before = database.execute(BEFORE, (self._number, position)).fetchone()
        return self._then(found, before and before[1])

    def visit(self, genome: Genome, measured: Mapping[str, Measurement]) -> dict[str, Measurement]:
        """Record the run's next genome and what was newly measured of it: both or neither.

        Returns:
            What the run is to be told of the genome. That differs from what it knew and measured where another process
            was faster, with another outcome.

        Raises:
            RunChanged: The run went to another genome at this point before; nothing is recorded.
        """
        where, genes = (self._number, self._position), spelled(genome)
        with self._database.writing() as database:
            number = self._file(genome, measured)
            found = super().known(genome, self._labels)
            before = database.execute(BEFORE, where).fetchone()
            if before is None:
                if not database.execute("SELECT 1 FROM run WHERE id = ?", (self._number,)).fetchone():
                    raise NasctlError(
                        f"run {self._run!r} was deleted while it ran; type the same command to start it anew"
                    )
                errors = {self._labels[label]: one.error for label, one in found.items() if one.error is not None}
                before = genes, json.dumps(errors) if errors else None
                database.execute("INSERT INTO visit VALUES (?, ?, ?, ?)", (*where, number, before[1]))
            if before[0] != genes:
                raise RunChanged(
                    f"run {self._run!r} went to {before[0]} as candidate {self._position} before and to {genes} now:"
                    " nasctl or a library has changed; start a new run with another --seed or --run name"
                )
        self._position += 1
        return self._then(found, before[1])

    def untold(self) -> None:
        """Say that the searcher never learned what had failed, so that a replay may know better."""
        with self._database.writing() as database:
            database.execute("UPDATE visit SET failed = NULL WHERE run = ?", (self._number,))

    def _then(self, found: dict[str, Measurement], failed: str | None) -> dict[str, Measurement]:
        """What was known when the run was there, by what had failed then."""
        if failed is None:
            return found
        errors = json.loads(failed)
        return found | {
            label: Measurement(None, errors[str(number)], found[label].seconds)
            for label, number in self._labels.items()
            if str(number) in errors and label in found
        }


def seen(record: RunRecord, genome: Genome, found: Mapping[str, Measurement]) -> Mapping[str, str]:
    """The labels that count for a genome: all, or those that need no module where these break a constraint."""
    values = evaluation(genome, record.cheap, found).values
    broken = any(constraint.violation(values) for constraint in record.bounded)
    return record.cheap if broken else record.labels

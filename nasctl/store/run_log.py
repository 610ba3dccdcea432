"""Measurements of genomes in a store, and the path of one run through them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

from nasctl.errors import NasctlError, RunChanged
from nasctl.problem.space import Genome
from nasctl.store.connection import Connection
from nasctl.store.measurements import Ledger, Measurement, evaluation, read, spelled
from nasctl.store.run_record import RunRecord

PATH = "SELECT genome.genes FROM visit JOIN genome ON genome.id = visit.genome WHERE run = ? ORDER BY position"
BEFORE = """
SELECT genome.genes, visit.failed FROM visit JOIN genome ON genome.id = visit.genome WHERE run = ? AND position = ?
"""


class RunLog(Ledger):
    """One run's view of the store.

    Attributes:
        run: Name of the run.
        record: What was asked for.
        elsewhere: Other machines that the run was searched on before, as `RunRecord.machines` names them.
    """

    def __init__(
        self,
        database: Connection,
        record: RunRecord,
        run: str,
        number: int,
        space: int,
        labels: Mapping[str, int],
        elsewhere: tuple[str, ...] = (),
    ) -> None:
        super().__init__(database, space, labels)
        self.run, self.record, self.elsewhere = run, record, elsewhere
        self._number, self._position = number, 0

    def path(self) -> list[Genome]:
        """Return the genomes that the run has visited so far, in order; those of earlier processes are included."""
        with self._database.reading() as database:
            return [read(genes) for (genes,) in database.execute(PATH, (self._number,))]

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
                        f"run {self.run!r} was deleted while it ran; type the same command to start it anew"
                    )
                before = genes, self._failed(found)
                database.execute("INSERT INTO visit VALUES (?, ?, ?, ?)", (*where, number, before[1]))
            elif before[1] is None and (told := self._failed(found)):  # the run was stopped, and is told only now
                before = before[0], told
                database.execute("UPDATE visit SET failed = ? WHERE run = ? AND position = ?", (told, *where))
            if before[0] != genes:
                raise RunChanged(
                    f"run {self.run!r} went to {before[0]} as candidate {self._position} before and to {genes} now:"
                    " nasctl or a library has changed; start a new run with another --seed or --run name"
                )
        self._position += 1
        return self._then(found, before[1])

    def untold(self, first: int) -> None:
        """Forget which visits failed, from the one at position `first` on: the searcher was never told.

        A replay tells what was measured again since.
        """
        with self._database.writing() as database:
            database.execute("UPDATE visit SET failed = NULL WHERE run = ? AND position >= ?", (self._number, first))

    def _failed(self, found: Mapping[str, Measurement]) -> str | None:
        """Return the errors as the column `failed` holds them; None without an error."""
        errors = {self._labels[label]: one.error for label, one in found.items() if one.error is not None}
        return json.dumps(errors) if errors else None

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

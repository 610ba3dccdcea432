"""The log of one run: the genomes that it visited, in order, and the failures that it was told of."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

from nasctl.errors import NasctlError, RunChanged
from nasctl.problem.space import Genome
from nasctl.store.connection import Connection
from nasctl.store.measurements import Ledger, Measurement, evaluation, genome_of, genome_text
from nasctl.store.run_record import RunRecord

PATH = "SELECT genome.genes FROM visit JOIN genome ON genome.id = visit.genome WHERE run = ? ORDER BY position"
VISIT = """
SELECT genome.genes, visit.failed FROM visit JOIN genome ON genome.id = visit.genome WHERE run = ? AND position = ?
"""


class RunLog(Ledger):
    """The ledger of one run's search space, with the run's visits.

    Attributes:
        run: Name of the run.
        record: Record of the run.
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
            return [genome_of(genes) for (genes,) in database.execute(PATH, (self._number,))]

    def known(self, genome: Genome, labels: Collection[str], position: int | None = None) -> dict[str, Measurement]:
        """Return what any run has measured of a genome under the given labels, by label.

        Args:
            genome: Genome of the candidate.
            labels: Labels to look up.
            position: Number of the visit in the run, from 0. If the run made this visit before, an objective that had
                failed then is returned as failed, though it may have been measured since. A replay so takes the same
                path. None looks at no visit.
        """
        found = super().known(genome, labels)
        if position is None:
            return found
        with self._database.reading() as database:
            before = database.execute(VISIT, (self._number, position)).fetchone()
        return self._as_then(found, before and before[1])

    def visit(self, genome: Genome, measured: Mapping[str, Measurement]) -> dict[str, Measurement]:
        """Record the run's next genome and new measurements of it, in one transaction.

        Returns:
            The measurements that the searcher must be told, by label. They differ from those that the run knew and
            made if another process filed other outcomes first.

        Raises:
            RunChanged: The run visited another genome at this position before; nothing is recorded.
            NasctlError: The run was deleted meanwhile.
        """
        where, genes = (self._number, self._position), genome_text(genome)
        with self._database.writing() as database:
            number = self._file(genome, measured)
            found = super().known(genome, self._labels)
            before = database.execute(VISIT, where).fetchone()
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
                    " nasctl, a library or a file of yours has changed; start a new run with another --seed or --run"
                    " name"
                )
        self._position += 1
        return self._as_then(found, before[1])

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

    def _as_then(self, found: dict[str, Measurement], failed: str | None) -> dict[str, Measurement]:
        """Return measurements with the failures of a former visit, given its column `failed`."""
        if failed is None:
            return found
        errors = json.loads(failed)
        return found | {
            label: found[label]._replace(value=None, error=errors[str(number)])
            for label, number in self._labels.items()
            if str(number) in errors and label in found
        }


def counted_labels(record: RunRecord, genome: Genome, found: Mapping[str, Measurement]) -> Mapping[str, str]:
    """Return the labels that count for a genome, by objective.

    These are all labels of the run, unless the genome breaks a constraint by its costs, which need no module. Then the
    search measures its costs alone, and what other runs know of it does not count.

    Args:
        record: Record of the run.
        genome: The genome.
        found: Measurements of the genome by label.
    """
    values = evaluation(genome, record.cheap, found).values
    broken = any(constraint.violation(values) for constraint in record.bounded)
    return record.cheap if broken else record.labels

"""The store on disk: all measurements, which runs share, and the genomes that each run visited."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from nasctl.errors import NasctlError, RunChanged, UnknownName
from nasctl.problem.searcher import Evaluation
from nasctl.problem.space import Genome
from nasctl.store.connection import Connection
from nasctl.store.measurements import Ledger, Measurement, evaluation, genome_of
from nasctl.store.run_log import RunLog, counted_labels
from nasctl.store.run_record import RunRecord
from nasctl.store.training_table import StoredTrainings, TrainingRecord
from nasctl.system.argument_types import check_arguments

VISITED = """
SELECT visit.position, genome.genes, m.label, m.value, m.error, m.seconds, m.machine FROM visit
JOIN genome ON genome.id = visit.genome LEFT JOIN measurement m ON m.genome = genome.id
WHERE visit.run = ? ORDER BY visit.position
"""


class RunSummary(NamedTuple):
    """A run in a list of runs."""

    name: str
    record: RunRecord
    started: float  # last start or resumption, in seconds since the epoch
    visited: int  # candidates


class Store:
    """A store in a SQLite file.

    Several processes may use it at once, and a process that is killed leaves it whole. A store of an older nasctl is
    upgraded, and a copy of it as it was stays beside it.

    Args:
        path: The file, which is created if it does not exist.

    Raises:
        NasctlError: The path cannot be written, or holds another file or a damaged store. The file is left as it is.
    """

    def __init__(self, path: Path | str) -> None:
        check_arguments("open a store", Store.__init__, {"path": path})
        self._open(Connection(path))

    @classmethod
    def reading(cls, path: Path | str) -> Store:
        """Open a store to read from; without a file it is an empty store in memory, and no file is created.

        Raises:
            NasctlError: As for a store that is written.
        """
        check_arguments("open a store", Store.__init__, {"path": path})
        store = cls.__new__(cls)
        store._open(Connection(path, reading=True))
        return store

    def _open(self, database: Connection) -> None:
        self.database, self.path = database, database.path
        self._trainings = StoredTrainings(database)

    def journal(self, run: str, record: RunRecord) -> RunLog:
        """Start a run, or resume it from its first visit, and return its log.

        Args:
            run: Name of the run.
            record: Record of the run.

        Raises:
            NasctlError: The store has a run of that name with another question.
            RunChanged: The run was made with another version of an objective.
        """
        after = RunRecord.parsed(record.json())
        with self.database.writing() as database:
            row = database.execute("SELECT spec FROM run WHERE name = ?", (run,)).fetchone()
            before = RunRecord.parsed(row[0]) if row else after
            keys = {*before.asked, *after.asked}
            if other := sorted(key for key in keys if before.asked.get(key) != after.asked.get(key)):
                raise NasctlError(
                    f"run {run!r} was started with other values of {', '.join(other)}; give this one another name with"
                    " --run"
                )
            if before.labels != after.labels:
                changed = sorted(name for name in after.labels if before.labels.get(name) != after.labels[name])
                raise RunChanged(
                    f"run {run!r} was made with another version of {', '.join(changed)} and is left as it is;"
                    " give this one another name with --run"
                )
            elsewhere = tuple(machine for machine in before.machines if machine not in record.machines)
            record = replace(record, machines=tuple(dict.fromkeys((*before.machines, *record.machines))))
            (number,) = database.execute(
                "INSERT INTO run (name, spec, started, turn)"
                " VALUES (?1, ?2, ?3, (SELECT coalesce(max(turn), 0) + 1 FROM run))"
                " ON CONFLICT (name) DO UPDATE SET spec = ?2, started = ?3, turn = excluded.turn RETURNING id",
                (run, record.json(), time.time()),
            ).fetchone()
            labels = {label: self.database.text(label) for label in record.labels.values()}
            return RunLog(self.database, record, run, number, self.database.text(record.space), labels, elsewhere)

    def ledger(self, space: str, labels: Collection[str]) -> Ledger:
        """Return the ledger of a space, given its spec with every default written out, for measurements with labels."""
        with self.database.writing():
            numbers = {label: self.database.text(label) for label in labels}
            return Ledger(self.database, self.database.text(space), numbers)

    def run(self, name: str | None = None) -> tuple[str, RunRecord]:
        """Return the full name and the record of a run.

        Args:
            name: Name of the run, or a beginning of it that no other run has; None for the run started last.

        Raises:
            UnknownName: The store has no such run.
            NasctlError: The store has no run at all, or several that begin so.
        """
        check_arguments("find a run", Store.run, {"name": name})
        with self.database.reading() as database:
            runs = dict(database.execute("SELECT name, spec FROM run ORDER BY turn DESC"))
        if not runs:
            raise NasctlError(f"the store {self.path} holds no run yet; `nasctl search` starts one")
        matches = [one for one in runs if name is None or one.startswith(name)]
        if name is not None and name not in runs and len(matches) > 1:
            raise NasctlError(f"{len(matches)} runs begin with {name!r}: {', '.join(matches)}; give more of the name")
        if not matches:
            raise UnknownName("run", str(name), list(runs))
        chosen = str(name if name in runs else matches[0])
        return chosen, RunRecord.parsed(runs[chosen])

    def runs(self) -> list[RunSummary]:
        """Return all runs, the run started last first."""
        with self.database.reading() as database:
            rows = database.execute(
                "SELECT name, spec, started, (SELECT count(*) FROM visit WHERE run = run.id) FROM run"
                " ORDER BY turn DESC"
            ).fetchall()
        return [RunSummary(name, RunRecord.parsed(spec), started, visited) for name, spec, started, visited in rows]

    def delete(self, run: str) -> None:
        """Delete a run; its measurements stay, because other runs share them."""
        with self.database.writing() as database:
            database.execute("DELETE FROM visit WHERE run = (SELECT id FROM run WHERE name = ?)", (run,))
            database.execute("DELETE FROM run WHERE name = ?", (run,))

    def evaluations(self, run: str) -> list[Evaluation]:
        """Return the evaluations of a run's candidates in the order of the search."""
        return [found for found, _ in self.visits(run)]

    def visits(self, run: str) -> Iterator[tuple[Evaluation, float]]:
        """Yield the evaluation of each candidate of a run, and the seconds that its measurements took.

        The candidates come in the order of the search. An objective that had failed and was measured again since has
        its later outcome. A candidate that breaks a constraint by its costs has its costs alone, as in the search,
        whatever other runs know of it.
        """
        run, record = self.run(run)
        with self.database.reading() as database:
            (number,) = database.execute("SELECT id FROM run WHERE name = ?", (run,)).fetchone()
            texts = dict(database.execute("SELECT id, value FROM text"))
            for _, group in groupby(database.execute(VISITED, (number,)), itemgetter(0)):
                rows = list(group)
                found = {
                    texts.get(label, ""): Measurement(value, error, seconds, texts.get(machine, ""))
                    for _, _, label, value, error, seconds, machine in rows
                }
                genome = genome_of(rows[0][1])
                labels = counted_labels(record, genome, found)
                seconds = sum(found[label].seconds for label in labels.values() if label in found)
                yield evaluation(genome, labels, found), seconds

    def filed(self, run: str, labels: Collection[str]) -> dict[str, dict[Genome, float]]:
        """Return stored values of a run's candidates under any labels, by label and genome.

        The labels need not be a part of the run; candidates without a value are left out.
        """
        run, _ = self.run(run)
        query = f"""SELECT label.value, genome.genes, m.value FROM run JOIN visit ON visit.run = run.id
            JOIN genome ON genome.id = visit.genome JOIN measurement m ON m.genome = visit.genome
            JOIN text label ON label.id = m.label
            WHERE run.name = ? AND m.value IS NOT NULL AND label.value IN ({",".join("?" * len(labels))})"""
        found: dict[str, dict[Genome, float]] = {label: {} for label in labels}
        with self.database.reading() as database:
            for label, genes, value in database.execute(query, (run, *labels)):
                found[label][genome_of(genes)] = value
        return found

    def machines(self, run: str) -> dict[str, int]:
        """Return how many values of a run's candidates were measured on each machine, the most frequent first.

        The values are those of metrics that need modules, or of costs if the run has no such metrics. They may be of
        other runs, with which this run shares them. "" stands for values of an older nasctl, which did not note the
        machine.
        """
        run, record = self.run(run)
        labels = set(record.labels.values()) - set(record.cheap.values()) or set(record.labels.values())
        numbers = ",".join("?" * len(labels))
        query = f"""SELECT coalesce(machine.value, ''), count(*) FROM run
            JOIN visit ON visit.run = run.id JOIN measurement m ON m.genome = visit.genome
            JOIN text label ON label.id = m.label LEFT JOIN text machine ON machine.id = m.machine
            WHERE run.name = ? AND m.value IS NOT NULL AND label.value IN ({numbers})
            GROUP BY 1 ORDER BY 2 DESC, 1"""
        with self.database.reading() as database:
            return dict(database.execute(query, (run, *sorted(labels))).fetchall())

    def file_training(self, record: TrainingRecord) -> None:
        """Add a training, or replace the state, result and seconds of a training with the same spec.

        Raises:
            NasctlError: The store has a training of that name of another network or with another spec.
        """
        self._trainings.file(record)

    def trainings(self, space: str | None = None, genome: Genome | None = None) -> list[TrainingRecord]:
        """Return the trainings, the one started last first.

        Args:
            space: Spec of a search space with every option, to return its trainings only.
            genome: Genome, to return its trainings only.
        """
        return self._trainings.all(space, genome)

    def training(self, name: str) -> TrainingRecord:
        """Return a training by its name, or by a beginning of the name that no other training has.

        Raises:
            UnknownName: The store has no such training.
            NasctlError: The store has no training at all, or several that begin so.
        """
        return self._trainings.find(name)

    def delete_training(self, name: str) -> None:
        """Delete the row of a training; its folder stays."""
        self._trainings.delete(name)

    def spaces(self) -> list[str]:
        """Return the specs of all spaces that have a measured or trained genome."""
        with self.database.reading() as database:
            query = "SELECT DISTINCT text.value FROM genome JOIN text ON text.id = genome.space"
            return [space for (space,) in database.execute(query)]

    def genomes(self, space: str) -> list[Genome]:
        """Return all measured or trained genomes of a space, given its spec."""
        query = "SELECT genes FROM genome JOIN text ON text.id = genome.space WHERE text.value = ?"
        with self.database.reading() as database:
            return [genome_of(genes) for (genes,) in database.execute(query, (space,))]

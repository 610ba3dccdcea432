"""What is on disk: every measurement ever made, shared by all runs, and which genomes each run visited."""

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
from nasctl.store.measurements import Ledger, Measurement, evaluation, read
from nasctl.store.run_log import RunLog, seen
from nasctl.store.run_record import RunRecord

VISITED = """
SELECT visit.position, genome.genes, m.label, m.value, m.error, m.seconds FROM visit
JOIN genome ON genome.id = visit.genome LEFT JOIN measurement m ON m.genome = genome.id
WHERE visit.run = ? ORDER BY visit.position
"""


class RunSummary(NamedTuple):
    """One line about a run."""

    name: str
    record: RunRecord
    started: float  # seconds since the epoch, when it was last started or resumed
    visited: int


class Store:
    """A SQLite file. Several processes may use it at once; one that is killed leaves it whole.

    A store of an older nasctl is brought up to this one, and a copy stays beside it.

    Args:
        path: The file; made if it does not exist.

    Raises:
        NasctlError: The path cannot be written, or holds something else or a damaged store, which is left as it is.
    """

    def __init__(self, path: Path | str) -> None:
        self._open(Connection(path))

    @classmethod
    def reading(cls, path: Path | str) -> Store:
        """A store to read from; where there is no file an empty one in memory, so that none is made.

        Raises:
            NasctlError: As for a store that is written.
        """
        store = cls.__new__(cls)
        store._open(Connection(path, reading=True))
        return store

    def _open(self, database: Connection) -> None:
        self.database, self.path = database, database.path

    def journal(self, run: str, record: RunRecord) -> RunLog:
        """Start a run, or take it up again from its beginning.

        Args:
            run: Its name.
            record: What was asked for.

        Raises:
            NasctlError: There is a run of that name which asked for something else.
        """
        after = RunRecord.parsed(record.json())
        with self.database.writing() as database:
            row = database.execute("SELECT spec FROM run WHERE name = ?", (run,)).fetchone()
            before = RunRecord.parsed(row[0]) if row else after
            keys = {*before.asked, *after.asked}
            if other := sorted(key for key in keys if before.asked.get(key) != after.asked.get(key)):
                raise NasctlError(
                    f"run {run!r} was started with another {', '.join(other)}; give this one another name with --run"
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
        """Where measurements under these labels are kept, of a space by its spec with every default written out."""
        with self.database.writing():
            numbers = {label: self.database.text(label) for label in labels}
            return Ledger(self.database, self.database.text(space), numbers)

    def run(self, name: str | None = None) -> tuple[str, RunRecord]:
        """A run and its name, by its name or a beginning of it that no other has, or of the one started last.

        Raises:
            UnknownName: There is no such run.
            NasctlError: There is no run at all, or more than one is meant.
        """
        with self.database.reading() as database:
            runs = dict(database.execute("SELECT name, spec FROM run ORDER BY turn DESC"))
        if not runs:
            raise NasctlError(f"the store {self.path} holds no run yet; `nasctl search` starts one")
        begun = [one for one in runs if name is None or one.startswith(name)]
        if name is not None and name not in runs and len(begun) > 1:
            raise NasctlError(f"{len(begun)} runs begin with {name!r}: {', '.join(begun)}; give more of the name")
        if not begun:
            raise UnknownName("run", str(name), list(runs))
        chosen = str(name if name in runs else begun[0])
        return chosen, RunRecord.parsed(runs[chosen])

    def runs(self) -> list[RunSummary]:
        """All runs, the one started last first."""
        with self.database.reading() as database:
            rows = database.execute(
                "SELECT name, spec, started, (SELECT count(*) FROM visit WHERE run = run.id) FROM run"
                " ORDER BY turn DESC"
            ).fetchall()
        return [RunSummary(name, RunRecord.parsed(spec), started, visited) for name, spec, started, visited in rows]

    def delete(self, run: str) -> None:
        """Forget a run; what it measured stays, for other runs share it."""
        with self.database.writing() as database:
            database.execute("DELETE FROM visit WHERE run = (SELECT id FROM run WHERE name = ?)", (run,))
            database.execute("DELETE FROM run WHERE name = ?", (run,))

    def evaluations(self, run: str) -> list[Evaluation]:
        """What a run has visited, in order, with what was measured of it."""
        return [found for found, _ in self.visits(run)]

    def visits(self, run: str) -> Iterator[tuple[Evaluation, float]]:
        """What a run has visited, in order, with what was measured of it and the seconds that it took.

        Of what had failed and was measured again since that is the later outcome. Of what breaks a constraint by its
        cost alone it is its costs, as in the search, whatever other runs know.
        """
        run, record = self.run(run)
        with self.database.reading() as database:
            (number,) = database.execute("SELECT id FROM run WHERE name = ?", (run,)).fetchone()
            texts = dict(database.execute("SELECT id, value FROM text"))
            for _, group in groupby(database.execute(VISITED, (number,)), itemgetter(0)):
                rows = list(group)
                found = {texts.get(label, ""): Measurement(*rest) for _, _, label, *rest in rows}
                genome = read(rows[0][1])
                labels = seen(record, genome, found)
                seconds = sum(found[label].seconds for label in labels.values() if label in found)
                yield evaluation(genome, labels, found), seconds

    def spaces(self) -> list[str]:
        """Specs of all spaces of which something was measured."""
        with self.database.reading() as database:
            query = "SELECT DISTINCT text.value FROM genome JOIN text ON text.id = genome.space"
            return [space for (space,) in database.execute(query)]

    def genomes(self, space: str) -> list[Genome]:
        """All genomes of a space, by its spec, of which something was measured."""
        query = "SELECT genes FROM genome JOIN text ON text.id = genome.space WHERE text.value = ?"
        with self.database.reading() as database:
            return [read(genes) for (genes,) in database.execute(query, (space,))]

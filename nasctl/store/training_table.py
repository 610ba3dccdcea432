"""Trainings in a store: one row for each trained network, with what was trained, how far, and the result."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nasctl.errors import NasctlError, UnknownName
from nasctl.problem.space import Genome
from nasctl.store.connection import Connection
from nasctl.store.measurements import genome_of, genome_text

STATE = re.compile(r"unfinished|finished|diverged|stopped at rung \d+")  # states of a training

PARTS = ("validation", "test")  # parts that a training is evaluated on

# Keys of a spec that two trainings may differ in and still compare: the network, and the machine.
OWN = frozenset({"name", "space", "genome", "threads", "device", "world", "processes"})

LISTED = """
SELECT t.name, text.value, genome.genes, t.spec, t.state, t.result, t.seconds, t.started, t.folder FROM training t
JOIN genome ON genome.id = t.genome JOIN text ON text.id = genome.space ORDER BY t.started DESC, t.id DESC
"""


@dataclass(frozen=True)
class TrainingRecord:
    """A training as a row of the store.

    Attributes:
        name: Name of the training, unique in the store.
        space: Spec of the search space as it was asked for, with every option.
        genome: Genome of the trained network in that space.
        spec: What was trained, as JSON: the space as trained, the recipe, the data, the seed and the like.
        state: "unfinished" until the last step and the evaluations are done, then "finished"; "diverged"; or "stopped
            at rung 1", where successive halving did not let it go on.
        result: By part ("validation", "test"): loss, accuracy, examples, standard error, perplexity, as JSON; and by
            "rungs" the same of the validation part after the steps at which the training has paused.
        seconds: Time spent in all sessions of the training.
        started: First start, in seconds since the epoch.
        folder: Folder of the training, relative to the folder of the store.
    """

    name: str
    space: str
    genome: Genome
    spec: Mapping[str, Any]
    state: str = "unfinished"
    result: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    started: float = 0.0
    folder: str = ""

    @property
    def parts(self) -> dict[str, Mapping[str, Any]]:
        """The newest result of each part."""
        return {part: self.result[part] for part in PARTS if part in self.result}

    @property
    def rungs(self) -> Mapping[str, Mapping[str, Any]]:
        """The result on the validation part at each pause, by the number of steps as text."""
        found: Mapping[str, Mapping[str, Any]] = self.result.get("rungs", {})
        return found

    def comparable(self, across_seeds: bool = False) -> str:
        """Return a text that is equal for trainings of a space whose results compare.

        These have the same data, recipe and seed, and all begin with drawn weights or all with given ones.

        Args:
            across_seeds: Whether trainings of different seeds compare.
        """
        own = OWN | {"seed"} if across_seeds else OWN
        shared = {key: bool(value) if key == "start" else value for key, value in self.spec.items() if key not in own}
        return json.dumps({"start": False, **shared}, sort_keys=True)


class StoredTrainings:
    """The trainings of a store.

    Args:
        database: The store.
    """

    def __init__(self, database: Connection) -> None:
        self._database = database

    def file(self, record: TrainingRecord) -> None:
        """Add a training, or replace the state, result and seconds of a training with the same spec.

        Raises:
            NasctlError: The store has a training of that name of another network or with another spec.
        """
        assert STATE.fullmatch(record.state)
        spec = json.dumps(record.spec, sort_keys=True)
        with self._database.writing() as database:
            space, genes = self._database.text(record.space), genome_text(record.genome)
            database.execute("INSERT OR IGNORE INTO genome (space, genes) VALUES (?, ?)", (space, genes))
            find = "SELECT id FROM genome WHERE space = ? AND genes = ?"
            (genome,) = database.execute(find, (space, genes)).fetchone()
            known = database.execute("SELECT genome, spec FROM training WHERE name = ?", (record.name,)).fetchone()
            if known is not None and known != (genome, spec):
                raise NasctlError(
                    f"training {record.name!r} of the store is of another {_difference(known, genome, record.spec)};"
                    " give this one another name with --name"
                )
            database.execute(
                "INSERT INTO training (name, genome, spec, state, result, seconds, started, folder)"
                " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (name) DO UPDATE SET"
                " state = ?4, result = ?5, seconds = ?6, folder = ?8",
                (
                    *(record.name, genome, spec, record.state, json.dumps(record.result)),
                    *(record.seconds, record.started, record.folder),
                ),
            )

    def all(self, space: str | None = None, genome: Genome | None = None) -> list[TrainingRecord]:
        """Return the trainings, the one started last first.

        Args:
            space: Spec of a search space with every option, to return its trainings only.
            genome: Genome, to return its trainings only.
        """
        with self._database.reading() as database:
            rows = database.execute(LISTED).fetchall()
        found = [
            TrainingRecord(name, at, genome_of(genes), json.loads(spec), state, json.loads(result), *rest)
            for name, at, genes, spec, state, result, *rest in rows
        ]
        return [one for one in found if space in (None, one.space) and genome in (None, one.genome)]

    def find(self, name: str) -> TrainingRecord:
        """Return a training by its name, or by a beginning of the name that no other training has.

        Raises:
            UnknownName: The store has no such training.
            NasctlError: The store has no training at all, or several that begin so.
        """
        found = self.all()
        if not found:
            raise NasctlError(f"the store {self._database.path} holds no training yet; `nasctl train` starts one")
        matches = [one for one in found if one.name == name] or [one for one in found if one.name.startswith(name)]
        if len(matches) > 1:
            names = ", ".join(one.name for one in matches[:5])
            raise NasctlError(f"{len(matches)} trainings begin with {name!r}: {names}; give more of the name")
        if not matches:
            raise UnknownName("training", name, [one.name for one in found])
        return matches[0]

    def delete(self, name: str) -> None:
        """Delete the row of a training; its folder stays."""
        with self._database.writing() as database:
            database.execute("DELETE FROM training WHERE name = ?", (name,))


def _difference(known: tuple[int, str], genome: int, spec: Mapping[str, Any]) -> str:
    """Return in words where a training of the store differs from the one that is to be filed."""
    if known[0] != genome:
        return "network"
    before = json.loads(known[1])
    return " and ".join(sorted(key for key in {*before, *spec} if before.get(key) != spec.get(key)))

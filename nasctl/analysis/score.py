"""Scores of given architectures: each is measured once, kept in the store, and can be written as a table."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from nasctl import registry
from nasctl.architectures.ids import encode
from nasctl.candidates.objective import Objective
from nasctl.errors import NasctlError
from nasctl.evaluation.executor import Executor, in_order
from nasctl.evaluation.measure import LocalExecutor, measure
from nasctl.evaluation.task import Task
from nasctl.problem.searcher import Evaluation
from nasctl.problem.space import Genome, Notation
from nasctl.search.metrics import make_objective
from nasctl.store.measurements import Measurement, evaluation
from nasctl.store.store import Store
from nasctl.system import files
from nasctl.version import __version__

DIGITS = 7  # of a value in a table, where it is no whole number


class Scored(NamedTuple):
    """What is known of one architecture."""

    evaluation: Evaluation
    seconds: dict[str, float]  # by metric: what measuring it took, now or whenever it was; the first pays for the pass


def chosen(specs: Iterable[str]) -> list[str]:
    """Specs of objectives, with "all" for every one that works without an option."""
    found: dict[str, None] = {}
    for spec in registry.split(specs):
        everyone = registry.trusted("objectives") if spec == "all" else [spec]
        found |= dict.fromkeys(name for name in everyone if spec != "all" or registry.optional("objectives", name))
    return list(found)


def metrics(specs: Iterable[str], space: str) -> dict[str, Objective]:
    """The objectives of these specs by what people call them, on a space of this spec.

    Raises:
        NasctlError: There is no such objective.
    """
    return dict(make_objective(spec, space) for spec in chosen(specs))


def scored(
    task: Task, space: str, genomes: Iterable[Genome], store: Store, executor: Executor | None = None
) -> Iterator[Scored]:
    """Yield what is known of each genome as soon as it is on disk; only what the store lacks is measured.

    Args:
        task: What is measured, and how.
        space: Spec of its space, as a person put it.
        genomes: Canonical ones.
        store: Where measurements are kept.
        executor: Where modules are measured; in this process if none is given.
    """
    given = list(genomes)
    rows: dict[Genome, Scored] = {}
    different = _different(task, registry.spelled_out("spaces", space), list(dict.fromkeys(given)), store, executor)
    for genome in given:
        if genome not in rows:
            rows[genome] = next(different)
        yield rows[genome]


def _different(
    task: Task, spec: str, genomes: Sequence[Genome], store: Store, executor: Executor | None
) -> Iterator[Scored]:
    record = task.record(spec)
    labels = record.labels
    ledger = store.ledger(spec, labels.values())
    known: dict[Genome, dict[str, Measurement]] = {}
    fresh: dict[Genome, dict[str, Measurement]] = {}

    def lacking() -> Iterator[tuple[Genome, dict[str, str]]]:
        for genome in genomes:
            known[genome] = ledger.known(genome, labels.values())
            cheap = {name: label for name, label in record.cheap.items() if label not in known[genome]}
            fresh[genome] = measure(task, genome, cheap)
            there = known[genome].keys() | fresh[genome].keys()
            yield genome, {name: label for name, label in labels.items() if label not in there}

    for genome, measured in in_order(executor or LocalExecutor(task), lacking(), ledger.file):
        new = fresh.pop(genome) | measured
        if new:
            ledger.file(genome, new)
        found = known.pop(genome) | new
        yield Scored(evaluation(genome, labels, found), {name: found[label].seconds for name, label in labels.items()})


def check(path: Path, overwrite: bool) -> None:
    """Refuse a place for a table before any work is done for it.

    Raises:
        NasctlError: It has another ending, it or the JSON beside it is there already, or its folder is not.
    """
    if not path.name.endswith((".csv", ".csv.gz")):
        raise NasctlError(f"{path} is no name for a table; end it in .csv or .csv.gz")
    for file in (path, _beside(path)):
        if file.exists() and not overwrite:
            raise NasctlError(f"{file} exists already; give --force to write over it, or another name")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise NasctlError(f"there is no folder {path.parent}; make it, or give another place")
    if not os.access(folder, os.W_OK):
        raise NasctlError(f"the folder {path.parent} cannot be written; give another place")


def write(path: Path, task: Task, space: str, rows: Sequence[Scored]) -> None:
    """Write a table of scores as CSV, packed if its name ends in ".gz", and beside it what it was made with as JSON.

    An architecture is written as its benchmark spells it, or as its id; a metric that failed leaves its cell empty.

    Raises:
        NasctlError: It cannot be written.
    """
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["arch", *task.metrics])
    for row in rows:
        values = row.evaluation.values
        cells = [_cell(values[name]) if name in values else "" for name in task.metrics]
        table.writerow([spelled(task, space, row.evaluation.genome), *cells])
    content = text.getvalue().encode()
    about = json.dumps(_about(task, space, rows), indent=1) + "\n"
    files.write(path, gzip.compress(content, mtime=0) if path.name.endswith(".gz") else content)
    files.write(_beside(path), about)


def spelled(task: Task, space: str, genome: Genome) -> str:
    """An architecture as its benchmark writes it, or its id."""
    notation = task.space
    return notation.spell(genome) if isinstance(notation, Notation) else encode(space, notation.genes, genome)


def failures(rows: Sequence[Scored]) -> list[str]:
    """What to tell a person of metrics that failed, if any did."""
    errors = [error for row in rows for error in row.evaluation.errors.items()]
    number = sum(bool(row.evaluation.errors) for row in rows)
    return [f"{number} of {len(rows)} failed in a metric, the last in {': '.join(errors[-1])}"] if errors else []


def _cell(value: float) -> str:
    return f"{value:.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:.{DIGITS}g}"


def _beside(path: Path) -> Path:
    """Where it says how a table was made."""
    stem = path.name.removesuffix(".gz").removesuffix(".csv")
    return path.with_name(f"{stem}.json")


def _about(task: Task, space: str, rows: Sequence[Scored]) -> dict[str, object]:
    return {
        "command": shlex.join(["nasctl", *sys.argv[1:]]),
        "space": registry.spelled_out("spaces", space),
        "setting": str(task.setting),
        "architectures": len(rows),
        "versions": {"nasctl": __version__, **{name: version(name) for name in ("numpy", "torch")}},
        "metrics": {
            name: {
                "version": metric.version,
                "unit": metric.unit,
                "direction": metric.direction,
                "failed": sum(name in row.evaluation.errors for row in rows),
            }
            for name, metric in task.metrics.items()
        },
    }

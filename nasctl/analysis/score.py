"""Scores of given architectures, measured once, kept in the store and written as tables."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from nasctl import registry
from nasctl.architectures.ids import encode
from nasctl.candidates.objective import Objective, version_on
from nasctl.errors import NasctlError
from nasctl.evaluation.executor import Executor, in_order
from nasctl.evaluation.measure import LocalExecutor, measure
from nasctl.evaluation.task import Task
from nasctl.problem.searcher import Evaluation
from nasctl.problem.space import Genome, Notation
from nasctl.registry.version import __version__
from nasctl.search.metrics import make_objective
from nasctl.store.measurements import Measurement, evaluation
from nasctl.store.store import Store
from nasctl.system import files

UNKNOWN = "unknown"  # machine of values that an older nasctl measured
DIGITS = 7  # significant digits of a value in a table that is no whole number


class Scored(NamedTuple):
    """The scores of one architecture, with the seconds that each metric took when it was measured.

    The first metric of a shared pass is charged for the pass.
    """

    evaluation: Evaluation
    seconds: dict[str, float]  # by metric
    # Machines that its metrics were measured on, or its costs if it has no metrics; "" if a machine is unknown.
    machines: frozenset[str] = frozenset()


def expand_specs(specs: Iterable[str]) -> list[str]:
    """Return specs of objectives in which "all" is replaced by all metrics of untrained networks without options."""
    found: dict[str, None] = {}
    for spec in registry.split(specs):
        names = [spec]
        if spec == "all":
            names = [name for name in registry.trusted("objectives") if _is_among_all(name)]
        found |= dict.fromkeys(names)
    return list(found)


def _is_among_all(name: str) -> bool:
    """Return whether an objective is one of "all"."""
    needs = registry.load("objectives", name).needs
    return registry.optional("objectives", name) and needs.isdisjoint({"training", "trained_weights"})


def make_metrics(specs: Iterable[str], space: str) -> dict[str, Objective]:
    """Create objectives from specs, for a space given by its spec, and return them by display name.

    Raises:
        NasctlError: There is no such objective.
    """
    return dict(make_objective(spec, space) for spec in expand_specs(specs))


def score_genomes(
    task: Task,
    space: str,
    genomes: Iterable[Genome],
    store: Store,
    executor: Executor | None = None,
    retry: bool = False,
) -> Iterator[Scored]:
    """Yield the scores of each genome as soon as they are in the store. Only missing measurements are made.

    Args:
        task: Metrics to measure, and their setting.
        space: Spec of the space, as typed.
        genomes: Canonical genomes, repetitions allowed.
        store: Store of the measurements.
        executor: Executor that measures modules. Default: this process.
        retry: Measure what failed before again, too. New results take the place of failures in the store.
    """
    given = list(genomes)
    rows: dict[Genome, Scored] = {}
    spec, different = registry.spelled_out("spaces", space), list(dict.fromkeys(given))
    distinct = _score_distinct(task, spec, different, store, executor, retry)
    for genome in given:
        if genome not in rows:
            rows[genome] = next(distinct)
        yield rows[genome]


def _score_distinct(
    task: Task, spec: str, genomes: Sequence[Genome], store: Store, executor: Executor | None, retry: bool
) -> Iterator[Scored]:
    """Yield the scores of distinct genomes, in their order."""
    record = task.record(spec)
    labels = record.labels
    measured_labels = set(labels.values()) - set(record.cheap.values()) or set(labels.values())
    ledger = store.ledger(spec, labels.values())
    known: dict[Genome, dict[str, Measurement]] = {}
    fresh: dict[Genome, dict[str, Measurement]] = {}

    def file(genome: Genome, measured: Mapping[str, Measurement]) -> None:
        ledger.file(genome, measured)
        if retry:
            ledger.replace(genome, measured)

    def missing() -> Iterator[tuple[Genome, dict[str, str]]]:
        for genome in genomes:
            stored = ledger.known(genome, labels.values())
            known[genome] = {label: one for label, one in stored.items() if not (retry and one.error is not None)}
            cheap = {name: label for name, label in record.cheap.items() if label not in known[genome]}
            fresh[genome] = measure(task, genome, cheap)
            measured = known[genome].keys() | fresh[genome].keys()
            yield genome, {name: label for name, label in labels.items() if label not in measured}

    for genome, measured in in_order(executor or LocalExecutor(task), missing(), file):
        new = fresh.pop(genome) | measured
        if new:
            file(genome, new)
        found = known.pop(genome) | new
        yield Scored(
            evaluation(genome, labels, found),
            {name: found[label].seconds for name, label in labels.items()},
            frozenset(found[label].machine for label in measured_labels),
        )


def check_output(path: Path, overwrite: bool) -> None:
    """Check that a table can be written to a path, before any work is done for it.

    Raises:
        NasctlError: The suffix is wrong, the table or its description exists, or the folder cannot be written.
    """
    if not path.name.endswith((".csv", ".csv.gz")):
        raise NasctlError(f"{path} is no name for a table; end it in .csv or .csv.gz")
    for file in (path, _description(path)):
        if file.exists() and not overwrite:
            raise NasctlError(f"{file} exists already; give --force to write over it, or another name")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise NasctlError(f"there is no folder {path.parent}; create it, or give another one")
    if not os.access(folder, os.W_OK):
        raise NasctlError(f"cannot write to the folder {path.parent}; give another one")


def write_table(path: Path, task: Task, space: str, rows: Sequence[Scored]) -> None:
    """Write a table of scores as CSV, compressed if its name ends in ".gz", and its description as JSON beside it.

    A failed metric leaves its cell empty.

    Raises:
        NasctlError: A file cannot be written.
    """
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["arch", *task.metrics])
    for row in rows:
        values = row.evaluation.values
        cells = [_cell(values[name]) if name in values else "" for name in task.metrics]
        table.writerow([architecture_text(task, space, row.evaluation.genome), *cells])
    content = text.getvalue().encode()
    about = json.dumps(_about(task, space, rows), indent=1) + "\n"
    files.write(path, gzip.compress(content, mtime=0) if path.name.endswith(".gz") else content)
    files.write(_description(path), about)


def architecture_text(task: Task, space: str, genome: Genome) -> str:
    """Return an architecture in the notation of its benchmark, or its id if the space has no notation."""
    notation = task.space
    return notation.spell(genome) if isinstance(notation, Notation) else encode(space, notation.genes, genome)


def failure_messages(rows: Sequence[Scored]) -> list[str]:
    """Return messages about failed metrics, if any failed."""
    errors = [error for row in rows for error in row.evaluation.errors.items()]
    number = sum(bool(row.evaluation.errors) for row in rows)
    if not errors:
        return []
    said = [f"{number} of {len(rows)} failed in a metric, the last in {': '.join(errors[-1])}"]
    if any(".py:" in name for name, _ in errors):  # the metric of a user's file, which may be mended
        said.append("the store keeps failures: --retry measures them again after you have mended the metric")
    return said


def machines(rows: Sequence[Scored]) -> dict[str, int]:
    """Return the number of architectures with values of each machine; `UNKNOWN` for values of an older nasctl."""
    counted = Counter(name or UNKNOWN for row in rows for name in row.machines)
    return dict(counted.most_common())


def machine_messages(rows: Sequence[Scored]) -> list[str]:
    """Return a warning if values come from several machines."""
    known = [f"{name} ({number} architectures)" for name, number in machines(rows).items() if name != UNKNOWN]
    if len(known) < 2:
        return []
    where = " and ".join(known)
    return [f"Warning: values were measured on {where}; they may differ in their last digits, so compare ranks"]


def _cell(value: float) -> str:
    """Return a value as a table has it: whole numbers with all digits."""
    return f"{value:.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:.{DIGITS}g}"


def _description(path: Path) -> Path:
    """Return the path of the JSON file that describes a table."""
    stem = path.name.removesuffix(".gz").removesuffix(".csv")
    return path.with_name(f"{stem}.json")


def _about(task: Task, space: str, rows: Sequence[Scored]) -> dict[str, object]:
    """Return the description of a table: command, space, setting, versions and metrics."""
    return {
        "command": shlex.join(["nasctl", *sys.argv[1:]]),
        "space": registry.spelled_out("spaces", space),
        "setting": str(task.setting),
        "architectures": len(rows),
        "versions": {"nasctl": __version__, **{name: version(name) for name in ("numpy", "torch")}},
        "machines": machines(rows),
        "metrics": {
            name: {
                "version": version_on(metric, task.space),
                "unit": metric.unit,
                "direction": metric.direction,
                "failed": sum(name in row.evaluation.errors for row in rows),
            }
            for name, metric in task.metrics.items()
        },
    }

"""Settings and runs rebuilt from the records of a store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nasctl.candidates.objective import version_on
from nasctl.candidates.reversed_objective import measured_name
from nasctl.candidates.setting import DEFAULT_DATA, Setting, parts
from nasctl.data import Data
from nasctl.data.tokens import DrawnTokens
from nasctl.errors import NasctlError
from nasctl.problem.ids import decode
from nasctl.problem.space import Gene, Genome, SearchSpace
from nasctl.search.run import Run
from nasctl.store.run_record import RunRecord


@dataclass(frozen=True)
class MisnamedTokens(DrawnTokens):
    """Drawn tokens under the name of the default images; see `filed_data`."""

    def __str__(self) -> str:
        return str(DEFAULT_DATA)


def setting_parts(record: RunRecord) -> dict[str, str]:
    """Return the fields of a run's setting, by the names that tables and reports show.

    Raises:
        NasctlError: Another version of nasctl wrote the setting in another form.
    """
    return parts(str(record.asked.get("setting", "")))


def recorded_setting(record: RunRecord) -> Setting:
    """Return the setting of a run, with the identity of its data in place of the data.

    Raises:
        NasctlError: Another version of nasctl wrote the setting in another form.
    """
    return Setting.parse(str(record.asked.get("setting", "")))


def recorded_task(record: RunRecord) -> str:
    """Return what the networks of a run are to be trained for; "" for what is usual in the family of its space."""
    return record.task or str(record.config.get("task") or "")


def recorded_references(record: RunRecord, genes: Sequence[Gene]) -> tuple[Genome, ...] | None:
    """Return the genomes that a run began with; None if it began before searches did, or its space had none to name.

    Raises:
        InvalidGenome: The record names genomes of another space.
    """
    words = record.asked.get("references")
    return None if words is None else tuple(decode(word.rpartition("-")[2], genes) for word in words)


def filed_data(data: Data, space: SearchSpace) -> Data:
    """Return the data of a run, given the data that its record names.

    Nasctl 0.1 measured some spaces of tokens on drawn tokens and filed the values under the default images.
    """
    return MisnamedTokens() if data == DEFAULT_DATA and space.input.kind == "tokens" else data


def run_from_record(record: RunRecord) -> Run:
    """Rebuild a run from its record. The data stays a name, so modules of candidates cannot be measured.

    Raises:
        NasctlError: A plug-in of the run is not installed here, or has another version.
    """
    asked, setting = record.asked, recorded_setting(record)
    objectives, metrics, constraints = (tuple(asked[key]) for key in ("objectives", "record", "constraints"))
    run = Run(record.space, objectives, asked["searcher"], asked["seed"], setting, metrics, constraints)
    genes = run.task.space.genes
    run = replace(run, trained_for=recorded_task(record), references=recorded_references(record, genes))
    for name, metric in run.task.metrics.items():
        label = f"{measured_name(name)} v{version_on(metric, run.task.space)}"
        if record.labels[name].partition(" @ ")[0] != label:
            raise NasctlError(f"{name} is of another version here")
    return run

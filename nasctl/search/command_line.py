"""The command that repeats a recorded run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from nasctl import registry
from nasctl.architectures.references import references
from nasctl.errors import NasctlError
from nasctl.hardware.tables_schema import KINDS
from nasctl.search.recorded import recorded_task, setting_parts
from nasctl.store.run_record import RunRecord


def command_line(name: str, record: RunRecord, budget: int) -> tuple[str, list[str]]:
    """Return the command that repeats a run or goes on with it.

    Args:
        name: Name of the run.
        record: Record of the run.
        budget: Different candidates to visit. A run that trains the networks of a search has that of its question.

    Returns:
        The command, and a sentence for each file that it needs.
    """
    asked, known, notes = record.asked, setting_parts(record), list[str]()
    named, training = [name], dict[str, list[Any]]()
    if "trainings" in asked:
        training = _training_options(asked)
        asked, budget = {**asked, **asked["first"]}, asked["measurements"]
        # The configuration is that of the search before, whose metrics may be means of several draws.
        known["fidelity"] = record.config.get("fidelity", known["fidelity"])
        # That search has the name without "-trained"; without a name, both have a digest of the same question.
        named = [name.removesuffix("-trained")] if name.endswith("-trained") else []
    devices = {*KINDS, *registry.names("devices")}

    def with_table_file(spec: str) -> str:
        metric, at, device = spec.partition("@")
        if not at or device in devices:
            return spec
        notes.append(f"{device}.json has to be the table of {device} whose digest is {asked['tables'].get(spec)}")
        return f"{metric}@{device}.json"

    data, digest, _ = known["data"].partition("#")
    if digest:
        notes.append(f"{data} has to be the file or folder that is known as {known['data']}")
    options = {
        "--space": [registry.normal("spaces", record.space)],
        "--objective": [with_table_file(spec) for spec in asked["objectives"]],
        "--task": [task] if (task := recorded_task(record)) else [],
        "--record": [with_table_file(spec) for spec in asked["record"]],
        "--constraint": asked["constraints"],
        "--searcher": [registry.normal("searchers", asked["searcher"])],
        "--budget": [budget],
        "--seed": [asked["seed"]],
        "--weights-seed": [known["weights seed"]],
        "--fidelity": [known["fidelity"]],
        "--data": [data],
        "--torch-device": [known["torch device"]],
        "--threads": [known["threads"]],
        **training,
        "--run": named,
    }
    words = [word for option, values in options.items() for value in values for word in (option, str(value))]
    return shlex.join(["nasctl", "search", *words, *_flags(asked, record.space)]), list(dict.fromkeys(notes))


def _flags(asked: Mapping[str, Any], spec: str) -> list[str]:
    """Return the option of a run that began without the published networks of its space, if the space has any."""
    try:
        named = references(registry.create("spaces", spec))
    except NasctlError:  # a plug-in that is not installed here
        return []
    return ["--no-references"] if named and not asked.get("references") else []


def _training_options(asked: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the options of `nasctl search` about the trainings of a run, from its question."""
    given = dict(text.split("=", 1) for text in asked["objectives"][0].partition(":")[2].split(",") if text)
    split = given.get("split")
    return {
        "--trainings": [asked["trainings"]],
        "--recipe": [given["recipe"]] if "recipe" in given else [],
        "--epochs": [given["epochs"]] if "epochs" in given else [],
        "--split": [split.replace("-", ",")] if split else [],
        "--split-seed": [given["split_seed"]] if "split_seed" in given else [],
    }

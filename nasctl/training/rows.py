"""Trainings of a store as rows and facts, for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nasctl import registry
from nasctl.architectures import ids
from nasctl.errors import NasctlError
from nasctl.store.training_table import TrainingRecord
from nasctl.system.wording import plural, share_text
from nasctl.training.folder import TrainingFolder, trainings_folder
from nasctl.training.recipe import usual


def training_row(record: TrainingRecord, store: Path | str) -> dict[str, Any]:
    """Return a training as JSON: its name, network, state, results by part, and files.

    Args:
        record: The training.
        store: Path of its store.
    """
    folder = TrainingFolder(trainings_folder(store) / record.name)
    return {
        "training": record.name,
        "id": _id(record),
        "space": record.space,
        "genome": list(record.genome),
        "state": record.state,
        "results": dict(record.parts),
        "rungs": dict(record.rungs),
        "seconds": record.seconds,
        "started": record.started,
        "folder": str(folder.path),
        "weights": str(folder.weights) if folder.weights.exists() else None,
        "spec": dict(record.spec),
    }


def facts(row: Mapping[str, Any]) -> dict[str, object]:
    """Return the facts of a row of `training_row` for people, by name."""
    spec, results = row["spec"], row["results"]
    usually = usual(spec["task"]).asdict()
    changed = [f"{key}={value}" for key, value in spec["recipe"].items() if value != usually.get(key)]
    recipe = f"usual for {spec['task']}{' but ' if changed else ''}{', '.join(changed)}"
    shown = {"training": row["training"], "network": row["id"], "space": spec["trained_space"], "state": row["state"]}
    for part, found in results.items():
        shown[part] = f"{accuracy_text(found)} on {plural(found['examples'], 'example')}, loss {found['loss']:.4g}"
    for step, found in row["rungs"].items():
        shown[f"step {step}"] = f"{accuracy_text(found)} on {plural(found['examples'], 'validation example')}"
    asked = {key: spec[key] for key in ("data", "task", "seed", "threads", "device") if key in spec}
    start = {"begins with": f"weights {spec['start']}"} if spec.get("start") else {}
    files = {"folder": row["folder"], "weights": row["weights"] or "none yet"}
    return {**shown, **asked, **start, "recipe": recipe, **files}


def data_name(identity: str) -> str:
    """Return the name of data without its digest and its split: "photos" of "photos#b5330deb split=0.8-0.2 seed=0"."""
    return identity.partition(" split=")[0].partition("#")[0]


def accuracy_text(result: Mapping[str, Any] | None) -> str:
    """Return the accuracy of a part with its standard error, such as "71.3% ± 1.2%", or the perplexity of words."""
    if result is None:
        return ""
    if result.get("accuracy") is not None:
        return share_text(result["accuracy"], result["error"])
    if result.get("perplexity") is not None:
        return f"perplexity {result['perplexity']:.4g}"
    return f"loss {result['loss']:.4g}"


def _id(record: TrainingRecord) -> str:
    """Return the id of a training's network; its genome where the plug-in of its space is gone."""
    try:
        return ids.encode(record.space, registry.create("spaces", record.space).genes, record.genome)
    except NasctlError:
        return ",".join(map(str, record.genome))

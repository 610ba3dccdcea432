"""Supernets of a store as rows and facts, for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from nasctl import registry
from nasctl.architectures import ids
from nasctl.errors import NasctlError, UnknownName
from nasctl.problem.space import SearchSpace
from nasctl.supernets.folder import supernets_folder
from nasctl.supernets.learned_choices import certainty_text, history_of, last_probabilities, named
from nasctl.supernets.running import seconds_of
from nasctl.supernets.trained_supernet import SupernetFacts, TrainedSupernet
from nasctl.system import files
from nasctl.system.terminal import duration, plural, quantity
from nasctl.training.folder import QUESTION_LIMIT, TrainingFolder
from nasctl.training.recipe import usual
from nasctl.training.rows import accuracy_text
from nasctl.training.training_log import read_log


def supernet_folders(store: Path | str) -> list[TrainingFolder]:
    """Return the folders of all supernets beside a store, the one begun last first."""
    found = [one.parent for one in supernets_folder(store).glob("*/training.json")]
    return [TrainingFolder(one) for one in sorted(found, key=lambda one: (-_started(one), one.name))]


def find_supernet(name: str, store: Path | str) -> TrainingFolder:
    """Return the folder of a supernet by its name, or by a beginning of the name that no other supernet has.

    Raises:
        UnknownName: There is no such supernet.
        NasctlError: Several names begin so, or there is no supernet at all.
    """
    folders = {one.path.name: one for one in supernet_folders(store)}
    if name in folders:
        return folders[name]
    if not folders:
        raise NasctlError(
            f"Cannot find the supernet {name!r}: there is none beside {store}. Train one with nasctl supernet train."
        )
    begun = [one for one in folders if name and one.startswith(name)]
    if not begun:
        raise UnknownName("supernet", name, sorted(folders))
    if len(begun) > 1:
        raise NasctlError(f"several supernets begin with {name!r}: {', '.join(sorted(begun))}; write more of the name")
    return folders[begun[0]]


def supernet_row(folder: TrainingFolder) -> dict[str, Any]:
    """Return a supernet as JSON: its name, question, state, progress, results by part and network, and files.

    The state is "finished", "unfinished", "diverged" for a training that has diverged for the second time, or "damaged"
    for weights that cannot be read, which the command of the training writes anew. The results of an unfinished one are
    its last validation.

    `choices` has the learned choices of a strategy that learns any: `chosen`, the network that it chooses, and
    `probabilities` by the names of genes and choices.

    Raises:
        NasctlError: The question or the log cannot be read.
    """
    spec = _question(folder)
    entries = read_log(folder.log) if folder.log.exists() else []
    facts = _facts(folder.weights)
    state = "finished" if facts else "damaged" if folder.weights.exists() else "unfinished"
    if state == "unfinished" and entries and entries[-1]["event"] == "failed":
        state = "diverged"
    begun = [one for one in entries if one["event"] in ("begun", "resumed")]
    results = last_results(entries) if facts is None else facts.result
    genomes = judged_genomes(entries) if facts is None else facts.judged
    return {
        "supernet": folder.path.name,
        "space": spec["space"],
        "share": spec["share"],
        "strategy": spec["strategy"],
        "state": state,
        "step": facts.steps if facts else _step(entries),
        "steps": facts.steps if facts else int(begun[-1]["steps"]) if begun else None,
        "results": results,
        "judged": _judged(spec["space"], genomes),
        "choices": _choices(folder, spec["space"], facts),
        "seconds": seconds_of(entries),
        "started": _started(folder.path),
        "folder": str(folder.path),
        "weights": str(folder.weights) if facts else None,
        "spec": spec,
    }


def listed_row(folder: TrainingFolder) -> dict[str, Any]:
    """Return the row of `supernet_row`; where question or log cannot be read, one with the state "damaged"."""
    try:
        return supernet_row(folder)
    except NasctlError:
        return {
            "supernet": folder.path.name,
            "state": "damaged",
            **dict.fromkeys(("space", "share", "strategy"), ""),
            **{"step": 0, "steps": None, "seconds": 0.0, "results": {}, "judged": {}, "weights": None},
            "started": _started(folder.path),
            "folder": str(folder.path),
            "spec": {"data": "", "seed": None},
        }


def supernet_facts(row: Mapping[str, Any], visits: np.ndarray | None) -> dict[str, object]:
    """Return the facts of a row of `supernet_row` for people, by name.

    Args:
        row: The row.
        visits: Passes that trained each slot, (copies, slots); None if no checkpoint says so yet.
    """
    spec = row["spec"]
    usually = usual(spec["task"]).asdict()
    changed = [f"{key}={value}" for key, value in spec["recipe"].items() if value != usually.get(key)]
    shown: dict[str, object] = {key: row[key] for key in ("supernet", "space", "strategy")}
    shown |= {"shares": spec["share"], "state": progress_text(row)}
    for part, found in row["results"].items():
        for name, result in found.items():
            judged = row["judged"].get(name)
            about = f", {judged['id']}, {quantity(judged['macs'], 'MACs')} MACs" if judged else ""
            examples = plural(result["examples"], "example")
            scored = result.get("accuracy") is None and result.get("perplexity") is None
            found = f"{accuracy_text(result)} on {examples}, loss {result['loss']:.4g}"
            shown[f"{part}, {name}"] = f"score {result['loss']:.4g}{about}" if scored else f"{found}{about}"
    if choices := row["choices"]:
        if one := choices["chosen"]:
            shown["chosen"] = f"{one['id']}, {quantity(one['macs'], 'MACs')} MACs"
        shown["choices"] = certainty_text(choices["probabilities"])
    if visits is not None:
        shown["visits"] = visits_text(visits)
    shown |= {key: spec[key] for key in ("data", "task", "seed", "threads", "device", "processes")}
    shown["recipe"] = f"usual for {spec['task']}{' but ' if changed else ''}{', '.join(changed)}"
    return shown | {
        "time": duration(row["seconds"]),
        "folder": row["folder"],
        "weights": row["weights"] or "none yet",
    }


def progress_text(row: Mapping[str, Any]) -> str:
    """Return the state of a row with its progress: "unfinished, step 120 of 400 (30%)"."""
    if row["state"] == "finished" or not row["steps"]:
        return str(row["state"])
    share = 100 * row["step"] / row["steps"]
    return f"{row['state']}, step {row['step']:,} of {row['steps']:,} ({share:.0f}%)"


def visits_text(visits: np.ndarray) -> str:
    """Return how often training has reached the slots of a supernet, (copies, slots)."""
    flat = np.sort(visits.ravel())
    never = int((flat == 0).sum())
    rest = f"; {plural(never, 'slot')} never" if never else ""
    return f"each of {flat.size:,} slots {flat[0]:,} to {flat[-1]:,} times, in the median {np.median(flat):,.0f}{rest}"


def visits_of(folder: TrainingFolder) -> np.ndarray | None:
    """Return the passes that trained each slot, (copies, slots), by the weights or else the newest checkpoint.

    Copies that no pass has trained are left out: moving averages, and copies of a supernet that is not split yet.
    """
    for path in [folder.weights, *reversed(folder.checkpoints)]:
        with suppress(OSError, SafetensorError), safe_open(path, framework="numpy") as opened:
            found: np.ndarray = opened.get_tensor("visits/slots")
            return found[[copy == 0 or bool(visits.any()) for copy, visits in enumerate(found)]]
    return None


def last_results(entries: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the last results by part and network, from the entries of a log."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for one in entries:
        if one["event"] == "evaluated":
            keys = ("loss", "accuracy", "perplexity", "examples", "error")
            found.setdefault(one["part"], {})[one.get("subnet", "")] = {key: one[key] for key in keys}
    return found


def judged_genomes(entries: list[dict[str, Any]]) -> dict[str, list[int]]:
    """Return the genomes of the networks that are judged, by name, from the entries of a log."""
    return next((one["networks"] for one in reversed(entries) if one["event"] == "judged"), {})


def _facts(weights: Path) -> SupernetFacts | None:
    """Return the facts of trained weights; None if there are none, or they cannot be read."""
    if not weights.exists():
        return None
    try:
        return TrainedSupernet(weights).facts
    except NasctlError:
        return None


def _judged(spec: str, genomes: Mapping[str, list[int]]) -> dict[str, dict[str, Any]]:
    """Return genome, id and multiply-accumulates of networks; {} where the plug-in of their space is gone."""
    try:
        space: SearchSpace = registry.create("spaces", spec)
    except NasctlError:
        return {}
    return {
        name: {
            "genome": genome,
            "id": ids.encode(spec, space.genes, tuple(genome)),
            "macs": space.network(tuple(genome)).macs,
        }
        for name, genome in genomes.items()
    }


def _choices(folder: TrainingFolder, spec: str, facts: SupernetFacts | None) -> dict[str, Any] | None:
    """Return what the strategy has learned: the network that it chooses, and probabilities by gene and choice.

    None if it learns no choices, has not begun, or the plug-in of the space is gone. Before the end of the training,
    there is no chosen network.
    """
    history = history_of(folder)
    if history is None:
        return None
    try:
        space: SearchSpace = registry.create("spaces", spec)
    except NasctlError:
        return None
    given: Sequence[Sequence[float] | np.ndarray] = facts.probabilities if facts else []
    if not (found := given or last_probabilities(history, space.genes)):
        return None
    chosen = _judged(spec, {"chosen": facts.chosen}) if facts and facts.chosen else {}
    return {"chosen": chosen.get("chosen"), "probabilities": named(found, space.genes)}


def _question(folder: TrainingFolder) -> dict[str, Any]:
    """Return the question of a supernet.

    Raises:
        NasctlError: Its file cannot be read.
    """
    path = folder.path / "training.json"
    try:
        found = files.parsed(files.read(path, QUESTION_LIMIT))
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict) or not {"space", "share", "strategy", "recipe"} <= found.keys():
        raise NasctlError(f"{path} is damaged; restore it, or remove the folder {folder.path}")
    return found


def _started(folder: Path) -> float:
    """Return the time at which a folder was begun, in seconds since 1970; 0 if its question has vanished."""
    try:
        return (folder / "training.json").stat().st_mtime
    except OSError:
        return 0.0


def _step(entries: list[dict[str, Any]]) -> int:
    """Return the steps done by the entries of a log."""
    return next((int(one.get("back_to", one["step"])) for one in reversed(entries) if "step" in one), 0)


__all__ = [
    "find_supernet",
    "last_results",
    "listed_row",
    "progress_text",
    "supernet_facts",
    "supernet_folders",
    "supernet_row",
    "visits_of",
    "visits_text",
]

"""Trained networks by the names that users give: trainings, files of weights, and modules of their own."""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nasctl.architectures.architecture import architecture
from nasctl.compression.own_module import own_module
from nasctl.compression.trained_base import TrainedBase, check_finite
from nasctl.errors import NasctlError
from nasctl.registry import named_files
from nasctl.store.store import Store
from nasctl.training import trained_weights
from nasctl.training.folder import CURRENT_STORE, TrainingFolder, trainings_folder
from nasctl.training.request import trained_space
from nasctl.training.trained_weights import Facts

WEIGHTS = (".safetensors", ".pt")  # suffixes of files of trained weights that nasctl writes

# Suffixes of files that a FILE.py may load its weights from.
BESIDE = frozenset({*WEIGHTS, ".pth", ".bin", ".ckpt", ".npz", ".npy", ".pkl", ".h5", ".onnx"})


def located(of: str) -> str:
    """Return the absolute path of the file of a trained network; FILE.py:NAME for a module of a user.

    Args:
        of: Name of a training beside the store of the running command, or its unique beginning; the path of a
            training's folder or weights, or of an export with weights (.pt); or FILE.py:NAME.

    Raises:
        NasctlError: There is no such file or training, or the training has not ended.
    """
    if named_files.is_file(of):
        file, _, name = named_files.normal_name(of).rpartition(":")
        return f"{Path(file).absolute()}:{name}"
    path, store = Path(of).expanduser(), CURRENT_STORE.get()
    if path.suffix in WEIGHTS and path.is_file():
        return str(path.absolute())
    folders = [TrainingFolder(folder).weights for folder in (path, trainings_folder(store) / of)]
    here = [weights for weights in folders if weights.is_file()]
    if len(here) == 2 and os.sep not in of and not here[0].samefile(here[1]):
        raise NasctlError(
            f"Cannot tell which network {of!r} is: a training of the store {store} and a folder of the working"
            f" directory have this name. Give {folders[1]} or {path.absolute()}."
        )
    if here:
        return str(here[0].absolute())
    return str(_of_store(of, store).absolute())


def _of_store(of: str, store: str) -> Path:
    """Return the weights of a training of a store by its name or its unique beginning.

    Raises:
        NasctlError: There is no such training, or it has not ended.
    """
    path, reason = Path(of).expanduser(), f"training {of} has no weights yet; type its command again"
    try:
        found = TrainingFolder(trainings_folder(store) / Store.reading(store).training(of).name).weights
        if found.is_file():
            return found
    except NasctlError as error:
        reason = str(error)
    comma = " A path with ',' or '=' is cut there; rename the folder." if {",", "="} & set(of) else ""
    if path.suffix in WEIGHTS or path.exists() or os.sep in of:
        raise NasctlError(
            f"Cannot read a trained network from {of}: it is no file of weights. Give a training of nasctl, an export"
            f" with weights (.pt), or FILE.py:NAME for a module of your own.{comma}"
        ) from None
    raise NasctlError(
        f"Cannot find the trained network {of!r}: {reason}. Give the name that `nasctl train` printed, with the"
        f" --store of the training, or the path of its weights.{comma}"
    ) from None


def trained_base(path: str) -> TrainedBase:
    """Return the trained network of a file, which is read again only if it has changed.

    A module of a user is also read again if a file of weights beside it has changed.

    Args:
        path: The path as `located` returns it.

    Raises:
        NasctlError: The file cannot be read, or its network cannot be used.
    """
    try:
        if named_files.is_file(path):
            return own_module(path, _state_beside(Path(path.rpartition(":")[0])))
        found = os.stat(path)
    except OSError as error:
        raise NasctlError(
            f"Cannot read the trained network {path} ({error.strerror}). Put it back, or give another one."
        ) from None
    return _read(path, found.st_mtime_ns, found.st_size)


def _state_beside(file: Path) -> tuple[tuple[str, int, int], ...]:
    """Return name, time of change and size of a Python file and of the files of weights beside it."""
    read = {file.name: file.stat()}
    with os.scandir(file.parent) as found:
        read |= {one.name: one.stat() for one in found if Path(one.name).suffix in BESIDE and one.is_file()}
    return tuple((name, one.st_mtime_ns, one.st_size) for name, one in sorted(read.items()))


@lru_cache(maxsize=8)
def _read(path: str, changed: int, size: int) -> TrainedBase:
    """Return the trained network of a file; time of change and size make another file another entry of the cache."""
    weights, facts = _exported(Path(path)) if path.endswith(".pt") else trained_weights.read(Path(path))
    if facts.task != "classes" or not facts.mean:
        raise NasctlError(
            f"Cannot make a space of {path}: its network learned {facts.task}. Give a network that classifies images."
        )
    described = architecture(facts.space, facts.genome)
    if facts.class_names and described.network.out_shape[-1] != len(facts.class_names):
        described = architecture(trained_space(facts.space, len(facts.class_names)), facts.genome)
    found = TrainedBase(
        facts.training,
        described.network,
        weights,
        described.input,
        facts.class_names,
        facts.mean,
        facts.deviation,
        facts.data,
        facts.result,
    )
    check_finite(path, weights)
    try:
        found.module()
    except RuntimeError:
        raise NasctlError(
            f"Cannot use the weights {path}: they are not those of {described.id}. They were written by nasctl"
            f" {facts.nasctl}; train the network again."
        ) from None
    return found


def _exported(path: Path) -> tuple[dict[str, Tensor], Facts]:
    """Return the weights and the facts of a file of `nasctl export --format torch`."""
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
        facts = json.loads(content._metadata[""]["nasctl"])
        if "mean" not in facts:
            raise NasctlError(f"Cannot make a space of {path}: its weights are untrained. Export with --weights.")
        named = {key: facts[key] for key in Facts.__dataclass_fields__}
    except NasctlError:
        raise
    except Exception as error:  # torch raises exceptions of many kinds for a file that is no archive of its own
        reason = " ".join(str(error).split())[:120]
        raise NasctlError(
            f"Cannot read the trained network {path} ({reason}). Give a file of `nasctl export --format torch"
            " --weights`, or FILE.py:NAME for a module of your own."
        ) from None
    for key in ("genome", "class_names", "mean", "deviation"):
        named[key] = None if named[key] is None else tuple(named[key])
    return dict(content), Facts(**named)


__all__ = ["located", "trained_base"]

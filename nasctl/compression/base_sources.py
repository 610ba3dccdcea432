"""Trained networks by the names that users give: trainings, files of weights, and modules of their own."""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nasctl.architectures.architecture import architecture
from nasctl.compression.trained_base import TrainedBase
from nasctl.errors import NasctlError
from nasctl.networks.graph import Network
from nasctl.problem.space import Input
from nasctl.registry import named_files
from nasctl.store.store import Store
from nasctl.training import trained_weights
from nasctl.training.folder import CURRENT_STORE, TrainingFolder, trainings_folder
from nasctl.training.request import trained_space, weights_file
from nasctl.training.trained_weights import Facts

WEIGHTS = (".safetensors", ".pt")  # suffixes of files of trained weights that nasctl writes


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
    for folder in (path, trainings_folder(store) / of):
        if (found := TrainingFolder(folder).weights).is_file():
            return str(found.absolute())
    if path.suffix in WEIGHTS and path.is_file():
        return str(path.absolute())
    if path.suffix or path.exists():
        raise NasctlError(
            f"Cannot read a trained network from {of}: it is no file of weights. Give a training of nasctl, an export"
            " with weights (.pt), or FILE.py:NAME for a module of your own."
        )
    try:
        return str(weights_file(path, Store.reading(store)).absolute())
    except NasctlError as error:
        reason = str(error).removeprefix(f"--from {of} is no file, and ")
        raise NasctlError(
            f"Cannot find the trained network {of!r}: {reason}. Give the name that `nasctl train` printed, with the"
            " --store of the training, or the path of its weights."
        ) from None


def trained_base(path: str) -> TrainedBase:
    """Return the trained network of a file, which is read again only if it has changed.

    Args:
        path: The path as `located` returns it.

    Raises:
        NasctlError: The file cannot be read, or its network cannot be used.
    """
    file = path.rpartition(":")[0] if named_files.is_file(path) else path
    try:
        found = os.stat(file)
    except OSError as error:
        raise NasctlError(
            f"Cannot read the trained network {file} ({error.strerror}). Put it back, or give another one."
        ) from None
    return _read(path, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=8)
def _read(path: str, changed: int, size: int) -> TrainedBase:
    """Return the trained network of a file; time of change and size make another file another entry of the cache."""
    if named_files.is_file(path):
        return _own_module(path)
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


def _own_module(path: str) -> TrainedBase:
    """Return the network of FILE.py:NAME, a module or a function that returns one.

    The file may be one that `nasctl export --format python` wrote, whose constants are read.
    """
    file, _, name = path.rpartition(":")
    names = vars(named_files.load_module(path))
    module = names.get(name)
    if module is None:
        raise NasctlError(f"Cannot use {file}: it has no {name!r}. Give the name of a module or of a function.")
    if not isinstance(module, nn.Module):
        try:
            module = module()
        except Exception as error:  # the code of a user may raise anything
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise NasctlError(f"Cannot call {name} of {file}: {reason}. Give a function without arguments.") from error
    if not isinstance(module, nn.Module):
        raise NasctlError(f"Cannot use {name} of {file}: it is a {type(module).__name__}. Give a torch.nn.Module.")
    module = module.eval()
    size, mean = names.get("SIZE"), tuple(map(float, names.get("MEAN", ())))
    deviation = tuple(map(float, names.get("DEVIATION", ())))
    if not isinstance(size, tuple) or len(size) != 2 or not mean or len(mean) != len(deviation):
        raise NasctlError(
            f"Cannot use {file}: it does not say which images {name} takes. Write SIZE = (height, width), and MEAN and"
            " DEVIATION, with a number for each channel in pixels from 0 to 255, into it."
        )
    shape = (len(mean), *map(int, size))
    network = Network.from_module(module, shape)
    if len(network.out_shape) != 1 or network.output < 0:
        raise NasctlError(f"Cannot make a space of {path}: its module returns no row of logits. Give a classifier.")
    classes = names.get("CLASSES")
    known = tuple(map(str, classes)) if classes else None
    return TrainedBase(path, network, Network.weights_of_module(module, shape), Input(shape), known, mean, deviation)


__all__ = ["located", "trained_base"]

"""Weights that a training begins with: a state dict of a file, fitted to the network."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from nasctl.errors import NasctlError
from nasctl.system import files

WRAPPERS = ("state_dict", "model", "model_state_dict")  # keys under which programs save a state dict
CHUNK = 1 << 20  # bytes that are read at once


def weights_digest(path: Path) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of a file.

    Raises:
        NasctlError: The file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with files.opened(path) as file:
            while block := file.read(CHUNK):
                digest.update(block)
    except OSError as error:
        raise NasctlError(
            f"the weights {path} cannot be read ({error.strerror}); give another file with --from"
        ) from None
    return digest.hexdigest()[:16]


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the state dict of a .safetensors file or of a file of `torch.save`, which is read without running code.

    Raises:
        NasctlError: The file cannot be read, or holds no state dict.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, UnpicklingError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:120]
        raise NasctlError(
            f"the weights {path} cannot be read ({reason}); give a .safetensors file or a state dict of torch.save"
        ) from None
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(isinstance(one, Tensor) for one in content.values()):
        raise NasctlError(f"{path} holds no state dict; save one with torch.save(net.state_dict(), FILE)")
    return {str(key).removeprefix("module."): value for key, value in content.items()}


def load_start(module: nn.Module, path: Path, expected: str = "") -> str:
    """Load the weights of a file into a module, and return a sentence for people on what was loaded.

    The output layer keeps its drawn weights where the file is of a network with another number of classes.

    Args:
        module: The module, whose weights are replaced.
        path: The file.
        expected: The digest of the file when the training was asked for; "" for any.

    Raises:
        NasctlError: The file has changed, cannot be read, or is of another network.
    """
    if expected and weights_digest(path) != expected:
        raise NasctlError(f"the weights {path} have changed since the training was asked for; type the command again")
    state, own = read_state(path), module.state_dict()
    counters = {key for key in own if key.endswith("num_batches_tracked")}  # older files lack these
    missing = [key for key in own if key not in state and key not in counters]
    surplus = [key for key in state if key not in own]
    if missing or surplus:
        wrong = f"it lacks {missing[0]!r}" if missing else f"it has {surplus[0]!r}, which the network has not"
        number = len(missing) + len(surplus)
        raise NasctlError(
            f"the weights {path} are of another network: {wrong}"
            + (f", and {number - 1} more differ" if number > 1 else "")
            + "; give weights that nasctl exported or trained for this --arch"
        )
    changed = [key for key in own if key in state and state[key].shape != own[key].shape]
    layers = {key.rpartition(".")[0] for key in changed}
    if changed and (len(layers) > 1 or any(state[key].shape[1:] != own[key].shape[1:] for key in changed)):
        key = changed[0]
        shapes = " and ".join("x".join(map(str, one[key].shape)) for one in (state, own))
        raise NasctlError(
            f"the weights {path} are of another network: {key!r} has shapes {shapes}; give its own weights"
        )
    module.load_state_dict({key: value for key, value in state.items() if key not in changed}, strict=False)
    kept = f"; the layer {layers.pop()} begins anew, because the classes differ" if changed else ""
    return f"begins with the weights of {path}{kept}"

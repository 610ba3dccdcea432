"""The weights of a finished training as a safetensors file, with all facts that an export needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from nasctl.errors import NasctlError
from nasctl.system.files import replacement
from nasctl.training.recipe import TrainingTask

KEY = "nasctl"  # of the facts in the metadata of the file


@dataclass(frozen=True)
class Facts:
    """The origin of trained weights."""

    space: str  # spec of the space as trained, with its number of classes
    genome: tuple[int, ...]
    training: str  # name of the training
    task: TrainingTask
    class_names: tuple[str, ...] | None
    mean: tuple[float, ...]  # of each channel, in pixels from 0 to 255; () for words
    deviation: tuple[float, ...]
    data: str  # identity of the data, with its split
    recipe: dict[str, Any]
    result: dict[str, dict[str, Any]]  # by part of the data: the fields of `Result`
    nasctl: str  # version


def write(path: Path, module_state: Mapping[str, Tensor], facts: Facts) -> None:
    """Write weights and their facts. The file appears complete, or not at all.

    Args:
        path: The file, which is replaced.
        module_state: The state dict of the network's module.
        facts: The facts.

    Raises:
        NasctlError: The file cannot be written.
    """
    # Layers may share a tensor, which safetensors refuses to write twice unless it is copied.
    tensors = {key: value.detach().cpu().contiguous().clone() for key, value in module_state.items()}
    with replacement(path, "free some space, and give the same command again to continue") as draft:
        try:
            save_file(tensors, draft, {KEY: msgspec.json.encode(asdict(facts)).decode()})
        except SafetensorError as error:  # its Rust code raises no OSError
            raise OSError(str(error)) from None


def read(path: Path) -> tuple[dict[str, Tensor], Facts]:
    """Return the weights by the names of the state dict, and their facts.

    Raises:
        NasctlError: The file cannot be read, or holds no weights that nasctl trained.
    """
    try:
        with safe_open(path, framework="pt") as opened:
            facts = msgspec.json.decode((opened.metadata() or {})[KEY], type=Facts)
            return {key: opened.get_tensor(key) for key in opened.keys()}, facts  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise NasctlError(f"Cannot read the weights {path}: {error}. Give weights.safetensors of a training.") from None
    except (KeyError, msgspec.MsgspecError):
        raise NasctlError(
            f"Cannot read the weights {path}: the file does not say which network nasctl trained. Give"
            " weights.safetensors of a training."
        ) from None


__all__ = ["Facts", "read", "write"]

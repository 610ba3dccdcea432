"""Checkpoints of a training: safetensors files that are written atomically, verified, and never a pickle."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save, save_file
from torch import Tensor

from nasctl.errors import NasctlError
from nasctl.registry.version import __version__
from nasctl.system.files import replacement
from nasctl.system.terminal import say

KEPT = 2  # newest checkpoints that stay

NAME = re.compile(r"step-(\d+)\.safetensors")

VERSION = 1  # of the layout of the file


class OtherLayout(ValueError):
    """A checkpoint with a layout that this version of nasctl does not read; the message is a clause."""


@dataclass(frozen=True)
class Checkpoint:
    """The whole state of a training after a number of steps. No generator has a state.

    Tensors are named "KIND/NAME": "module/stem.weight", "optimiser/stem.weight/momentum_buffer", "ema/stem.weight",
    "losses/recent".
    """

    identity: str  # digest of the training's question
    step: int  # steps that are done
    halvings: int  # times that a divergence has halved the rate
    tensors: Mapping[str, Tensor]
    scaler: Mapping[str, Any] = field(default_factory=dict)  # state of the loss scaling of float16
    versions: Mapping[str, str] = field(default_factory=dict)  # of nasctl and torch when it was written

    def part(self, kind: str) -> dict[str, Tensor]:
        """Return the tensors of a kind, without the kind in their names."""
        return {key[len(kind) + 1 :]: value for key, value in self.tensors.items() if key.startswith(f"{kind}/")}


def path_of(folder: Path, step: int) -> Path:
    """Return the path of the checkpoint of a step."""
    return folder / f"step-{step:09d}.safetensors"


def write(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint and return its path. The file appears complete, or not at all.

    Raises:
        NasctlError: The file cannot be written, such as on a full disk. Older checkpoints stay.
    """
    tensors = {key: value.detach().cpu().contiguous() for key, value in checkpoint.tensors.items()}
    header = _header(checkpoint) | {
        "version": VERSION,
        "versions": {"nasctl": __version__, "torch": torch.__version__},
        "crc32": _crc(tensors),
    }
    path = path_of(folder, checkpoint.step)
    with replacement(path, "free some space, and give the same command again to continue") as draft:
        try:
            save_file(tensors, draft, {"nasctl": json.dumps(header)})
        except SafetensorError as error:  # its Rust code raises no OSError
            raise OSError(str(error)) from None
    return path


def read(path: Path) -> Checkpoint:
    """Return a checkpoint.

    Raises:
        OtherLayout: Another version of nasctl wrote the file in another layout.
        ValueError: The file is torn or is no checkpoint; the message is a clause.
    """
    try:
        with safe_open(path, framework="pt") as opened:
            header = json.loads((opened.metadata() or {})["nasctl"])
            if header["version"] != VERSION:
                writer = header.get("versions", {}).get("nasctl", "another version")
                raise OtherLayout(f"nasctl {writer} wrote it in layout {header['version']}, not {VERSION}")
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
        found = Checkpoint(
            str(header["identity"]),
            int(header["step"]),
            int(header["halvings"]),
            tensors,
            dict(header["scaler"]),
            dict(header["versions"]),
        )
        if header["crc32"] != _crc(tensors):
            raise ValueError("its content has changed since it was written")
    except (OSError, SafetensorError) as error:
        raise ValueError(f"it cannot be read ({error})") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it has no header of a checkpoint ({error!r})") from None
    return found


def packed(checkpoint: Checkpoint | None) -> bytes:
    """Return a checkpoint as bytes, for other processes; none for None."""
    if checkpoint is None:
        return b""
    header = _header(checkpoint) | {"versions": dict(checkpoint.versions)}
    return save(dict(checkpoint.tensors), {"nasctl": json.dumps(header)})


def unpacked(content: bytes) -> Checkpoint | None:
    """Return the checkpoint that `packed` made bytes of."""
    if not content:
        return None
    size = int.from_bytes(content[:8], "little")  # of the header of safetensors, in bytes
    header = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["nasctl"])
    return Checkpoint(tensors=load(content), **header)


def _header(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the fields of a checkpoint that are no tensors, without versions, as JSON."""
    return {
        "identity": checkpoint.identity,
        "step": checkpoint.step,
        "halvings": checkpoint.halvings,
        "scaler": dict(checkpoint.scaler),
    }


def newest(folder: Path, identity: str) -> Checkpoint | None:
    """Return the newest valid checkpoint of a folder, or None; a torn file is passed over, and named on stderr.

    Raises:
        NasctlError: A checkpoint belongs to another network or run, or has the layout of another version of nasctl.
    """
    for step in sorted(steps(folder), reverse=True):
        path = path_of(folder, step)
        try:
            found = read(path)
        except OtherLayout as error:  # a training that began anew would delete it
            raise NasctlError(
                f"Cannot continue from {path}: {error}. Continue with that version of nasctl, or give another --name."
            ) from None
        except ValueError as error:
            say(f"{path} is passed over: {error}")
            continue
        if found.identity != identity:
            raise NasctlError(
                f"Cannot continue from {path}: it is a checkpoint of another network or run. Move that file away, or"
                " give another --name."
            )
        return found
    return None


def at(folder: Path, step: int, identity: str) -> Checkpoint | None:
    """Return the checkpoint of a step, or None if there is no valid one of this training."""
    with suppress(ValueError):
        found = read(path_of(folder, step))
        return found if found.identity == identity else None
    return None


def steps(folder: Path) -> Iterator[int]:
    """Yield the steps of the checkpoints of a folder, in no order."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if (match := NAME.fullmatch(path.name)) and path == path_of(folder, int(match[1])):
            yield int(match[1])


def tidy(folder: Path, recovery: int) -> None:
    """Delete all checkpoints but the two newest, and but the newest at a multiple of `recovery` steps.

    Args:
        folder: The folder.
        recovery: Steps between the points that a diverged training goes back to.
    """
    found = sorted(steps(folder), reverse=True)
    points = [step for step in found if step % recovery == 0]
    for step in set(found) - {*found[:KEPT], *points[:1]}:
        path_of(folder, step).unlink(missing_ok=True)


def keep_newest(folder: Path) -> None:
    """Delete all checkpoints but the newest. Weights that are damaged later are written anew from it."""
    for step in sorted(steps(folder))[:-1]:
        path_of(folder, step).unlink(missing_ok=True)


def delete_after(folder: Path, step: int) -> None:
    """Delete the checkpoints of later steps than this one."""
    for later in [one for one in steps(folder) if one > step]:
        path_of(folder, later).unlink(missing_ok=True)


def _crc(tensors: Mapping[str, Tensor]) -> int:
    """Return the checksum of all names, types, shapes and numbers."""
    found = 0
    for key in sorted(tensors):
        value = tensors[key]
        found = zlib.crc32(f"{key} {value.dtype} {tuple(value.shape)}".encode(), found)
        if value.numel():  # an empty tensor, such as the losses before the first step, has no bytes to view
            found = zlib.crc32(value.reshape(-1).view(torch.uint8).numpy().data, found)
    return found


__all__ = [
    "Checkpoint",
    "at",
    "delete_after",
    "keep_newest",
    "newest",
    "packed",
    "path_of",
    "read",
    "steps",
    "tidy",
    "unpacked",
    "write",
]

"""Searched masks in files beside the store, so that each search, worker and export reads what one of them found."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from nasctl.compression.mask_search import MaskSearch, searched_masks
from nasctl.compression.trained_base import DIGITS, TrainedBase
from nasctl.errors import NasctlError
from nasctl.system.file_lock import Wait, locked
from nasctl.system.files import replacement
from nasctl.training.folder import CURRENT_STORE
from nasctl.training.labelled import TrainingData

LONGEST = 7 * 86_400  # seconds that a process waits for another one to find the same masks


def masks_folder(store: Path | str) -> Path:
    """Return the folder of the searched masks of a store: `nasctl-masks` beside `nasctl.db`."""
    return Path(store).with_name(f"{Path(store).stem}-masks")


def stored_masks(
    folder: Path, base: TrainedBase, names: tuple[str, ...], sparsity: float, data: TrainingData, asked: MaskSearch
) -> dict[str, Tensor]:
    """Return the masks of some layers with one sparsity, which are searched if the folder does not have them.

    Args:
        folder: The folder, which is created if it does not exist.
        base: The trained network.
        names: Names of the layers.
        sparsity: Share of the weights of each layer that are zero.
        data: Labelled images, whose training part is learned from.
        asked: How masks are searched.

    Returns:
        A mask for each layer, bool in the shape of the weight, by the name of the layer.

    Raises:
        NasctlError: The folder or a file in it cannot be read or written.
    """
    question = repr((base.digest, names, sparsity, str(data), sorted(asdict(asked).items())))
    path = folder / f"{hashlib.sha256(question.encode()).hexdigest()[:DIGITS]}.safetensors"
    remedy = "give a --store in a folder that you may write to"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NasctlError(f"Cannot create {folder}: {error.strerror}. Do the following: {remedy}.") from None
    with locked(path.with_suffix(".lock"), f"another process searches {path}; wait for it", remedy, wait=Wait(LONGEST)):
        if not path.exists():
            found = searched_masks(base, dict.fromkeys(names, sparsity), data, asked)
            with replacement(path, remedy) as draft:
                save_file(found, draft, {"question": question})
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:120]
        raise NasctlError(f"Cannot read the masks {path}: {reason}. Delete the file to search them again.") from None


__all__ = ["CURRENT_STORE", "masks_folder", "stored_masks"]

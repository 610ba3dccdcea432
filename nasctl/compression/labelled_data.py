"""Images for a trained network: those that its variants are calibrated with, and those that they are judged by."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nasctl import registry
from nasctl.compression.trained_base import TrainedBase
from nasctl.data import Data
from nasctl.errors import NasctlError
from nasctl.training.labelled import TrainingData, training_data, training_data_of
from nasctl.training.split import USUAL

IDENTITY = re.compile(r"(?P<name>.*) split=(?P<split>[^ ]+)(?: seed=(?P<seed>\d+))?")  # identity of a training's data

CALIBRATION_IMAGES = 256  # images of the training part that ranges and mean inputs of layers come from


def usual_split(base: TrainedBase) -> tuple[str, int]:
    """Return the split of the network's own training and its seed; the default split if it is not known."""
    found = IDENTITY.fullmatch(base.data)
    return (found["split"].replace("-", ","), int(found["seed"] or 0)) if found else (USUAL, 0)


def labelled_data(base: TrainedBase, data: Data | str, split: str = "", seed: int = -1) -> TrainingData:
    """Return labelled images of the network's classes, split into parts.

    Args:
        base: The trained network. If names of its classes are not known, its outputs are the classes of the data.
        data: The data, or its name or path; "" for that of the network's training.
        split: Shares of the parts, such as "0.8,0.1,0.1"; "" for those of the network's training.
        seed: Seed of the split; -1 for that of the network's training.

    Raises:
        NasctlError: The data is not at hand, has no labels, or has other classes than the network.
    """
    own_split, own_seed = usual_split(base)
    parts = split or own_split, own_seed if seed < 0 else seed
    if isinstance(data, str):
        found = _named(base, data or _own_name(base), *parts)
        if not data and not same_content(base.data, str(found)):
            raise NasctlError(
                f"Cannot use {found} for {base.name}: it was trained on {base.data}, which is other data. Give the path"
                " of the training's data with data=PATH in the space."
            )
    else:
        found = training_data_of(data, base.input, None, *parts, "classes")
    names, outputs = found.class_names or (), base.network.out_shape[0]
    if base.class_names is not None and names != base.class_names:
        raise NasctlError(
            f"Cannot use {data or found} for {base.name}: it has {len(names)} classes, and the network learned"
            f" {len(base.class_names)}, or their names differ. Give data with the classes of {base.data or base.name}."
        )
    if base.class_names is None and len(names) != outputs:
        raise NasctlError(
            f"Cannot use {data or found} for {base.name}: it has {len(names)} classes, and the network {outputs}"
            " outputs. Give data of all its classes, or write CLASSES into the file: names of the outputs in order."
        )
    return found


def same_content(learned: str, asked: str) -> bool:
    """Return whether two identities are those of the same data, perhaps under another name and split otherwise.

    Args:
        learned: Identity of the data of a training; one without a digest is compared by name.
        asked: Identity of other data.
    """
    first, second = (one.partition(" split=")[0].partition("#") for one in (learned, asked))
    return first[2] == second[2] if first[2] else first[0] == second[0]


def calibration_pixels(data: TrainingData) -> Tensor:
    """Return images that are spread evenly over the training part, (N, C, H, W) uint8, N at most 256."""
    number = min(CALIBRATION_IMAGES, data.size("train"))
    chosen = np.linspace(0, data.size("train") - 1, number).astype(np.int64)
    return torch.from_numpy(data.examples("train", chosen)[0])


def content_of(data: TrainingData) -> str:
    """Return the part of the identity of data that stays when its file or folder is renamed."""
    text = str(data)
    return text.partition("#")[2] or text


def _named(base: TrainedBase, name: str, split: str, seed: int) -> TrainingData:
    """Return the data of a name or path; see `labelled_data`."""
    try:
        return training_data(name, base.input, None, split, seed, "classes")
    except NasctlError as error:
        if Path(name).exists() or registry.available("data").get(name.replace("-", "_")):
            raise
        raise NasctlError(
            f"Cannot find the images {name!r} of the training of {base.name}, which its variants need."
            " Give their path with data=PATH in the space."
        ) from error


def _own_name(base: TrainedBase) -> str:
    """Return the name or path of the data of a network's training.

    Raises:
        NasctlError: It is not known.
    """
    if (found := IDENTITY.fullmatch(base.data)) is None:
        raise NasctlError(
            f"Cannot calibrate {base.name}: the data of its training is not known. Give labelled images of its classes"
            " with data=PATH."
        )
    return found["name"].partition("#")[0]


__all__ = ["CALIBRATION_IMAGES", "calibration_pixels", "content_of", "labelled_data", "same_content", "usual_split"]

"""Labels in an array of any kind: integers, strings, booleans, whole floats, or one-hot rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nasctl.data._folders import quoted

FORMS = "integers, strings, booleans, whole numbers or one-hot rows"

UNLABELLED = "Label {} counts as a class of its own ({} of the images)."


def class_of_each(labels: np.ndarray, number: int) -> tuple[np.ndarray, tuple[str, ...], list[str]]:
    """Return the class of each image, the names of the classes, and sentences about unusual labels.

    Args:
        labels: An array with one label for each image, of any shape with N items, or one-hot, (N, K).
        number: N.

    Returns:
        Classes from 0, (N,) int64, numbered in the sorted order of the labels; the names of all classes; sentences.

    Raises:
        ValueError: The labels have another length, are not finite or not whole, or are of another kind.
    """
    if labels.dtype.kind not in "iubfUS":
        raise ValueError(f"they are of type {labels.dtype}; give {FORMS}")
    if labels.dtype.kind == "f":
        if not np.isfinite(labels).all():
            raise ValueError("some are not finite; give a class for each image")
        if not (labels == np.rint(labels)).all():
            raise ValueError(f"some, such as {labels[labels != np.rint(labels)][0]:g}, are not whole; give {FORMS}")
    if labels.size == number:
        known, classes = np.unique(labels.ravel(), return_inverse=True)
        return classes.astype(np.int64), tuple(map(_name, known.tolist())), _remarks(labels)
    if labels.ndim != 2 or len(labels) != number:
        raise ValueError(f"their shape is {labels.shape}, for {number} images; give one label for each image")
    if labels.dtype.kind in "US" or not ((labels == 0) | (labels == 1)).all() or (labels.sum(axis=1) != 1).any():
        raise ValueError(f"of their {labels.shape[1]} columns not exactly one is 1 in each row; give {FORMS}")
    known, classes = np.unique(labels.argmax(axis=1), return_inverse=True)
    empty = sorted(set(range(labels.shape[1])) - set(known.tolist()))
    notes = [f"Columns without images get no label: {quoted(list(map(str, empty)))}."] if empty else []
    return classes.astype(np.int64), tuple(map(_name, known.tolist())), notes


def _name(label: object) -> str:
    """Return the name of a class."""
    if isinstance(label, bytes):
        return label.decode("utf-8", "backslashreplace")
    return str(int(label)) if isinstance(label, float) else str(label)


def _remarks(labels: np.ndarray) -> list[str]:
    """Return sentences about labels that usually stand for a missing label."""
    if labels.dtype.kind in "US":
        return [UNLABELLED.format("''", number)] if (number := int((labels == labels.dtype.type()).sum())) else []
    if labels.dtype.kind not in "if":
        return []
    negative: Sequence[object] = np.unique(labels[labels < 0]).tolist()
    return [UNLABELLED.format(_name(one), int((labels == one).sum())) for one in negative[:2]]


__all__ = ["class_of_each"]

"""Whether a trained network has learned from the images that its variants are judged by."""

from __future__ import annotations

from nasctl.compression.labelled_data import IDENTITY, same_content
from nasctl.compression.trained_base import TrainedBase


def learned_doubts(base: TrainedBase, asked: str) -> list[str]:
    """Return a warning if a network has learned from validation images, or if that cannot be known.

    Args:
        base: The network.
        asked: Identity of the data of the validation images, with its split.
    """
    if not base.data:
        return [
            f"Warning: the images that {base.name} learned from are not known; if validation images are among them,"
            " accuracies are too good"
        ]
    if not same_content(base.data, asked):
        return [
            f"Warning: the given network was trained on {base.data}, and the validation images are of {asked}; if it"
            " has learned some of them, accuracies are too good"
        ]
    if _split(base.data) == _split(asked):
        return []
    return [
        "Warning: the given network was trained on another split of this data, so it has learned some validation"
        " images, and accuracies are too good; leave split and split_seed out"
    ]


def _split(identity: str) -> tuple[str, int]:
    """Return the split of an identity and its seed."""
    found = IDENTITY.fullmatch(identity)
    return (found["split"], int(found["seed"] or 0)) if found else ("", 0)


__all__ = ["learned_doubts"]

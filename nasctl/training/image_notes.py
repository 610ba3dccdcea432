"""Sentences about labelled images for a user."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from nasctl.data import ImageContent, KnowsMirrorImages, Part, Summarized
from nasctl.system.wording import plural
from nasctl.training.image_statistics import ImageStatistics
from nasctl.training.split import PARTS

SHOWN = 10  # classes that are named with their counts

CHANCE_ERRORS = 2  # standard errors above guessing, up to which a network counts as no better
UNEQUAL = 3  # ratio of the largest to the smallest class from which on it is mentioned


def image_notes(
    names: Sequence[str],
    labels: Mapping[Part, np.ndarray],
    contents: Mapping[Part, ImageContent],
    statistics: ImageStatistics,
    shape: tuple[int, ...],
    span: tuple[float, float],
) -> tuple[str, ...]:
    """Return sentences about images: first the counts of classes, then everything that is skipped or changed.

    Args:
        names: Names of the classes.
        labels: The classes of the images, (N,) int64, by part.
        contents: The images as they are stored, by part.
        statistics: The statistics of the training images.
        shape: The input of the network, (C, H, W).
        span: The values that become 0 and 255.
    """
    notes = [*_counts(names, labels), *_enlarged(statistics, shape)]
    if span != (0, 255):
        notes.append(f"Values from {span[0]:g} to {span[1]:g} become pixels from 0 to 255.")
    for part, content in contents.items():
        if isinstance(content, Summarized):
            notes += [note if part == "train" else f"{part.capitalize()}: {note}" for note in content.summary.notes]
    return tuple(notes)


def flip_notes(data: object, flip: bool, remedy: str) -> list[str]:
    """Return a sentence if random flips mirror images that may then be of another class.

    Args:
        data: Data for training.
        flip: Whether the recipe flips images.
        remedy: The option that sets flip to false, as a user types it.
    """
    if not flip or not isinstance(data, KnowsMirrorImages) or data.mirrored_keeps_class:
        return []
    return [
        "Warning: the recipe mirrors images at random, and mirror images of this data may be of another class."
        f" {remedy} trains without, under another name."
    ]


def guessing_note(part: str, accuracy: float, error: float, counts: np.ndarray) -> str:
    """Return a clause if an accuracy is no better than guessing; "" if it is better.

    Args:
        part: Name of the part of the data.
        accuracy: Share of right answers on the part.
        error: Its standard error.
        counts: The number of images of each class in the part, (K,) int64.
    """
    guessing = float(counts.max() / counts.sum())
    if accuracy > guessing + CHANCE_ERRORS * error:
        return ""
    within = "below" if accuracy < guessing - CHANCE_ERRORS * error else "within two standard errors of"
    return f"{part} accuracy is {within} guessing: always answering the most frequent class has {100 * guessing:.1f}%"


def _counts(names: Sequence[str], labels: Mapping[Part, np.ndarray]) -> Iterator[str]:
    """Yield sentences about the numbers of images of parts and classes."""
    counts = {part: np.bincount(labels[part], minlength=len(names)) for part in PARTS}
    sizes = ", ".join(f"{len(labels[part]):,} {part}" for part in PARTS if len(labels[part]))
    train = counts["train"]
    order = sorted(range(len(names)), key=lambda k: (-train[k], k))
    shown = order if len(names) <= SHOWN else [*order[: SHOWN // 2], *order[-SHOWN // 2 :]]
    listed = [f"{names[k]} {train[k]:,}" for k in shown]
    if len(shown) < len(order):
        listed.insert(SHOWN // 2, f"... ({len(order) - len(shown):,} more)")
    yield f"{plural(len(names), 'class', 'classes')}, images by class in the training part: {', '.join(listed)}."
    yield f"Images: {sizes}."
    if train.max() >= UNEQUAL * train.min():
        most, least = names[order[0]], names[order[-1]]
        ratio = train.max() / train.min()
        yield f"Classes are unequal: {most} has {ratio:.3g} times as many training images as {least}."
    for part in PARTS[1:]:
        if len(labels[part]) and (missing := [names[k] for k in np.flatnonzero(counts[part] == 0).tolist()]):
            more = f" and {len(missing) - 3:,} more" if len(missing) > 3 else ""
            yield f"Classes without {part} images: {', '.join(missing[:3])}{more}."


def _enlarged(statistics: ImageStatistics, shape: tuple[int, ...]) -> Iterator[str]:
    """Yield a sentence if images are enlarged."""
    if statistics.enlarged:
        size = f"{shape[2]}x{shape[1]} pixels"
        if statistics.enlarged == statistics.sampled:
            yield f"Images are enlarged to {size}, {statistics.factor:.3g} times per side."
        else:
            enlarged = plural(statistics.enlarged, "is enlarged", "are enlarged")
            yield f"Of {plural(statistics.sampled, 'training image')}, {enlarged} to {size}."


__all__ = ["flip_notes", "guessing_note", "image_notes"]

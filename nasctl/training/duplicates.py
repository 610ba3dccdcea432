"""Images that are in a data set more than once."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from nasctl.data import HasBytes, ImageContent, Part
from nasctl.system.wording import plural

HASHED_BYTES = 256 * 2**20  # the most bytes of images that are compared

NAMED = 3  # images that are named


def duplicate_notes(
    contents: Mapping[Part, ImageContent], indices: Mapping[Part, np.ndarray], labels: Mapping[Part, np.ndarray]
) -> Iterator[str]:
    """Yield sentences about equal images that have several labels, or that are in several parts.

    Files and arrays are compared byte by byte, of which images of different size need not be read. Data with more bytes
    to read than `HASHED_BYTES` is not compared.

    Args:
        contents: The images of each part.
        indices: Indices of the images of each part, (N,) int64.
        labels: The classes of these images, (N,) int64.
    """
    groups = _groups(contents, indices)
    classes = [[int(labels[part][k]) for part, k in group] for group in groups]
    mixed = [group for group, known in zip(groups, classes, strict=True) if len(set(known)) > 1]
    if mixed:
        number = sum(map(len, mixed))
        have = plural(number, "image has", "images have")
        yield f"{have} a copy with another label{_named(mixed, contents, indices)}."
    for one, other in combinations(indices, 2):
        shared = [group for group in groups if {one, other} <= {part for part, _ in group}]
        if number := sum(part == other for group in shared for part, _ in group):
            have = plural(number, f"{other} image has", f"{other} images have")
            yield f"{have} a copy among the {one} images{_named(shared, contents, indices)}."
    in_train = [sum(part == "train" for part, _ in group) for group in groups]
    if number := sum(max(0, copies - 1) for copies in in_train):
        yield f"{number:,} training images are copies of other training images."


Place = tuple[Part, int]  # a part and the place of an image in it


def _groups(contents: Mapping[Part, ImageContent], indices: Mapping[Part, np.ndarray]) -> list[list[Place]]:
    """Return groups of two or more equal images."""
    by_size: dict[int, list[Place]] = defaultdict(list)
    for part, found in indices.items():
        content = contents[part]
        if not isinstance(content, HasBytes):
            return []
        for k, size in enumerate(content.byte_sizes(found)):
            by_size[int(size)].append((part, k))
    alike = [places for places in by_size.values() if len(places) > 1]
    if sum(size * len(places) for size, places in by_size.items() if len(places) > 1) > HASHED_BYTES:
        return []
    by_digest: dict[Any, list[Place]] = defaultdict(list)
    for part, found in indices.items():
        places = [k for group in alike for one, k in group if one == part]
        content = contents[part]
        assert isinstance(content, HasBytes)
        for k, some in zip(places, content.contents(found[places]), strict=True):
            by_digest[hashlib.sha256(some).digest()].append((part, k))
    return [places for places in by_digest.values() if len(places) > 1]


def _named(
    groups: Sequence[Sequence[Place]], contents: Mapping[Part, ImageContent], indices: Mapping[Part, np.ndarray]
) -> str:
    """Return names of images of the first group, for the end of a sentence."""
    names = []
    for part, k in groups[0][:NAMED]:
        content = contents[part]
        assert isinstance(content, HasBytes)
        names.append(content.name_of(int(indices[part][k])))
    return f", such as {' and '.join(names)}"


__all__ = ["duplicate_notes"]

"""Image files that lie in folders for validation or test, beside a folder of training images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from nasctl.data._class_folders import CONTAINERS, SPLITS, TRAINING
from nasctl.data._folders import ListedFile, Listing, quoted
from nasctl.data._picture_files import PictureFiles, annotated, image_files
from nasctl.data._protocols import Part
from nasctl.errors import NasctlError

# Lower-case names of folders of held-out images, with their part.
PARTS: Mapping[str, Part] = {
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "eval": "validation",
    "test": "test",
    "testing": "test",
}


def held_out_parts(names: Sequence[str]) -> list[Part | None]:
    """Return the part that each image is set apart for by a folder above it; None for the others.

    Without a folder of training images, no image is set apart.

    Args:
        names: Paths of the images with forward slashes.
    """
    folders = [name.split("/")[:-1] for name in names]
    leaves = {one[-1].lower() for one in folders if one}
    trains = any(part.lower() in TRAINING for one in folders for part in one[:-1])
    if not trains and not (leaves <= SPLITS and leaves & TRAINING):  # the rule of `ClassFolders`
        return [None] * len(names)
    found = [next((part.lower() for part in one if part.lower() in SPLITS), "") for one in folders]
    return [PARTS.get(split) for split in found]


def training_listing(listing: Listing) -> Listing:
    """Return a listing without the images that are set apart."""
    images = image_files(listing)
    parts = held_out_parts([file.name for file in images])
    away = {file.name for file, part in zip(images, parts, strict=True) if part is not None}
    return replace(listing, files=[file for file in listing.files if file.name not in away]) if away else listing


def held_out_files(path: Path, listing: Listing, train: PictureFiles) -> dict[Part, PictureFiles]:
    """Return the image files that are set apart and have labels, checked as training images are, by part.

    The class of an image is the innermost folder above it that has the name of a class of training images. If no image
    of a part has one, a table of annotations gives the classes.

    Args:
        path: The folder or zip.
        listing: Its files.
        train: The training images.

    Raises:
        NasctlError: An image has a class without training images.
    """
    images = image_files(listing)
    by_part: dict[Part, list[ListedFile]] = {}
    for file, part in zip(images, held_out_parts([file.name for file in images]), strict=True):
        if part is not None:
            by_part.setdefault(part, []).append(file)
    read = ((part, _labelled(path, listing, files, train, part)) for part, files in by_part.items())
    return {part: found for part, found in read if found is not None}


def _labelled(
    path: Path, listing: Listing, files: list[ListedFile], train: PictureFiles, part: Part
) -> PictureFiles | None:
    """Return the files of a part with their labels, without those that cannot be decoded; None without labels."""
    numbers = {name: k for k, name in enumerate(train.class_names or ())}
    notes: list[str] = []
    classes = [_class_of(file.name, numbers) for file in files]
    origin = "folders"
    if not any(name in numbers for name in classes):
        folders = {file.name.split("/")[0] for file in files}
        tables = [file for file in listing.files if file.name.split("/")[0] in folders]
        found = annotated(path, tables, files, notes)
        if found is None and set(classes) == {""}:
            return None
        origin, classes = found or (origin, classes)
    unknown = Counter(name for name in classes if name not in numbers)
    if unknown:
        named = quoted([name or "(images outside of the folders of classes)" for name in unknown])
        raise NasctlError(
            f"Cannot use the {part} images of {path}: {sum(unknown.values()):,} of them are of classes without training"
            f" images: {named}. Add training images of these classes, or remove them."
        )
    order = sorted(range(len(files)), key=lambda k: (numbers[classes[k]], files[k].name.split("/")))
    labels = np.array([numbers[classes[k]] for k in order], np.int64)
    found_files = PictureFiles(path, [files[k] for k in order], labels, train.class_names, origin, tuple(notes))
    survey = replace(found_files.checked(), scales=train.survey.scales)
    return _without(found_files, {name for name, _ in survey.broken}, replace(found_files, survey=survey))


def _without(files: PictureFiles, broken: set[str], checked: PictureFiles) -> PictureFiles:
    """Return checked files without the broken ones."""
    assert files.labels is not None
    kept = [k for k, file in enumerate(files.files) if file.name not in broken]
    return replace(checked, files=[files.files[k] for k in kept], labels=files.labels[kept])


def _class_of(name: str, known: Mapping[str, int]) -> str:
    """Return the innermost folder above an image that is a known class, or else may be a class; "" without one."""
    folders = name.split("/")[:-1]
    return next((one for one in reversed(folders) if one in known), next(_possible(folders), ""))


def _possible(folders: Sequence[str]) -> Iterator[str]:
    """Yield the folders below or above the folder of the part that may name a class, the innermost first."""
    split = next(k for k, one in enumerate(folders) if one.lower() in SPLITS)
    for one in reversed(folders[split + 1 :]):
        if one.lower() not in CONTAINERS | SPLITS:
            yield one

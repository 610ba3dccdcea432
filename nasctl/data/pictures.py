"""Image files in a folder or zip, by class; each is decoded when a batch needs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Self

import numpy as np

from nasctl.data._folders import Listing, counted_suffixes
from nasctl.data._held_out import held_out_files, training_listing
from nasctl.data._image_arrays import numbered
from nasctl.data._picture_files import PictureFiles, listing_of
from nasctl.data._protocols import Part
from nasctl.data._stored_images import StoredImages, digest_of, revised
from nasctl.data._survey import UNCHECKED, Survey
from nasctl.errors import NasctlError

READING = "2"  # changes whenever images, their order or their labels are read otherwise than before

FIRST_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".ppm")  # files that the first reading used


@dataclass(frozen=True)
class Pictures(StoredImages):
    """Image files in a folder or zip, by class; see `PictureFiles`.

    All files are decoded once when the data is opened, up to the limits of a survey, so that broken files are skipped
    and reported, and the values of 32-bit images are scaled alike.
    """

    accepted = "a folder or .zip of images by class"
    generic = True

    survey: Survey = field(default=UNCHECKED, compare=False)

    @classmethod
    def claims(cls, path: Path) -> bool:
        return path.is_dir() or path.suffix.lower() == ".zip"

    @classmethod
    def read(cls, path: Path) -> PictureFiles:
        return read(path)

    @classmethod
    def at(cls, path: Path) -> Self:
        """Return the data at a path, and check its files.

        Raises:
            NasctlError: The path cannot be read, it holds no images, or none of its images can be decoded.
        """
        path = path.resolve()
        try:
            listing = listing_of(path)
            digest = digest_of(path, listing.files)
            found = PictureFiles.of(path, listing)
            survey = found.checked() if len(found) else UNCHECKED
        except OSError as error:
            raise NasctlError(f"{path} cannot be read: {error}") from None
        if not len(found):
            held = counted_suffixes([file.name for file in listing.files])
            raise NasctlError(f"{path} holds no images{f', only {held}' if held else ''}; give {cls.accepted}")
        if len(survey.broken) == len(found):
            name, reason = survey.broken[0]
            raise NasctlError(
                f"Cannot read {path}: none of its {len(found)} images can be decoded. Replace them; the first is"
                f" {name} ({reason})."
            )
        if not _is_first_reading(listing, found, survey):
            # Uncompressed images of one size differ in their content alone.
            digest = revised(f"{digest} {survey.digest}", READING)
        if not survey.broken:  # or else the classes have to be found anew
            _keep((path, digest, survey), replace(found, survey=survey))
        return cls(path.name, digest, path, survey)

    @property
    def _content(self) -> PictureFiles:
        key = (self.path, self.digest, self.survey)
        return _kept.get(key) or _keep(key, read(self.path, self.survey))

    def image_parts(self) -> Mapping[Part, PictureFiles]:
        """Return the image files by part, as in `LabelledImages`."""
        listing = listing_of(self.path)
        train = PictureFiles.of(self.path, training_listing(listing), self.survey)
        return {"train": train, **held_out_files(self.path, listing, train)}


def read(path: Path, survey: Survey = UNCHECKED) -> PictureFiles:
    """List the image files of a folder or zip.

    Args:
        path: The folder or zip.
        survey: The outcome of a check of the files.

    Raises:
        NasctlError: The file is no zip, or is protected by a password.
    """
    return PictureFiles.of(path, listing_of(path), survey)


# Kept outside of the data, as in `StoredImages`. Not an `lru_cache`, because files that were just listed are added.
_kept: dict[tuple[Path, str, Survey], PictureFiles] = {}

KEPT = 2  # sets of files that are kept


def _keep(key: tuple[Path, str, Survey], files: PictureFiles) -> PictureFiles:
    """Keep files for the next batch, and forget the oldest ones."""
    _kept.pop(key, None)
    _kept[key] = files
    while len(_kept) > KEPT:
        del _kept[next(iter(_kept))]
    return files


def _is_first_reading(listing: Listing, files: PictureFiles, survey: Survey) -> bool:
    """Return whether the first version of nasctl read the same images with the same labels.

    Values of that version are stored under the digest alone. They stay valid where nothing changed, and only there. The
    answer is no if not all files were checked.
    """
    if survey.broken or survey.turned or survey.deep or survey.checked < len(files):
        return False
    keys = [file.key for file in listing.files]
    found = [PurePosixPath(key) for key in keys if key.lower().endswith(FIRST_SUFFIXES)]
    found = [key for key in found if not any(part.startswith(".") for part in key.parts)]
    found = [key for key in found if "train" in key.parts[:-2]] or found
    found = [key for key in found if key.parent.name] or found
    found.sort(key=lambda key: (key.parent.name, key))
    if [str(key) for key in found] != [file.key for file in files.files]:
        return False
    labels = numbered(key.parent.name for key in found)
    if labels is None or files.labels is None:
        return labels is files.labels
    return bool(np.array_equal(labels, files.labels))


__all__ = ["Pictures"]

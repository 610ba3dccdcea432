"""Images in a file or folder, known by a digest."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Self

from nasctl.data._content_images import ContentImages, ImageContent
from nasctl.data._folders import ListedFile, list_folder
from nasctl.data._protocols import Part
from nasctl.errors import NasctlError


@dataclass(frozen=True)
class StoredImages(ContentImages):
    """Images in a file or folder. A plug-in is a subclass with `accepted`, `claims` and `read`; see `ContentImages`."""

    generic: ClassVar[bool] = False
    accepted: ClassVar[str]

    name: str  # the name of the file or folder, without its place
    digest: str  # the first eight hexadecimal digits of a digest
    path: Path = field(compare=False)

    @classmethod
    @abstractmethod
    def claims(cls, path: Path) -> bool:
        """Return whether the format reads an existing path, judged by its name or by the names of its files."""

    @classmethod
    @abstractmethod
    def read(cls, path: Path) -> ImageContent:
        """Return the images at a path.

        Raises:
            NasctlError: The path cannot be read.
        """

    @classmethod
    def read_held_out(cls, path: Path, train: ImageContent) -> Mapping[Part, ImageContent]:
        """Return the images that the files at a path set apart for validation or test, by part.

        Args:
            path: The file or folder.
            train: The other images. Labels have the same numbering.

        Raises:
            NasctlError: The path cannot be read, or a class has no training images.
        """
        return {}

    @classmethod
    def at(cls, path: Path) -> Self:
        """Return the data at a path.

        Raises:
            NasctlError: The path cannot be read, or it holds no images.
        """
        path = path.resolve()
        try:
            found = cls(path.name, cls._identity(path), path)
            if not len(found._content):
                raise NasctlError(f"{path} holds no images; give {cls.accepted}")
        except OSError as error:
            raise NasctlError(f"{path} cannot be read: {error}") from None
        return found

    def __str__(self) -> str:
        return f"{self.name}#{self.digest}"

    @classmethod
    def _identity(cls, path: Path) -> str:
        """Return the digest of the data at a path. It differs where an earlier version read the same file otherwise."""
        return digest_of(path)

    @property
    def _content(self) -> ImageContent:
        return _content(type(self), self.path, self.digest)

    @property
    def _place(self) -> Path:
        return self.path

    def image_parts(self) -> Mapping[Part, ImageContent]:
        """Return the images by part, as in `LabelledImages`."""
        return {"train": self._content, **self.read_held_out(self.path, self._content)}


def digest_of(path: Path, files: Sequence[ListedFile] | None = None) -> str:
    """Return a digest of a file's bytes, or of the names and sizes of a folder's files, which may be very large.

    Args:
        path: The file or folder.
        files: The files of the folder, if they are known.
    """
    if path.is_file():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()[:8]
    known = list_folder(path).files if files is None else files
    listing = "".join(f"{file.key}\0{file.size}\n" for file in sorted(known, key=lambda file: file.key))
    return hashlib.sha256(listing.encode(errors="surrogateescape")).hexdigest()[:8]


def revised(digest: str, reading: str) -> str:
    """Return the digest of data that an earlier version read otherwise, so that no value of that reading is reused.

    Args:
        digest: The digest of the files.
        reading: The number of the reading.
    """
    return hashlib.sha256(f"{digest} {reading}".encode()).hexdigest()[:8]


# The content is kept outside the data, so that copies of the data for workers stay small.
@lru_cache(maxsize=2)
def _content(plugin: type[StoredImages], path: Path, digest: str) -> ImageContent:
    return plugin.read(path)

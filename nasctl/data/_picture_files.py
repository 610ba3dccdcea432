"""The image files of a folder or zip with their classes, decoded one by one when a batch needs them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import numpy as np

from nasctl.data._class_folders import CONTAINERS, SPLITS, ClassFolders
from nasctl.data._decoding import decoded, suffixes
from nasctl.data._folders import ListedFile, Listing, counted_suffixes, list_folder, list_zip, quoted
from nasctl.data._summary import DataSummary, class_counts
from nasctl.data._survey import UNCHECKED, Survey, Surveyor, order_of_check, reason_of
from nasctl.errors import NasctlError

LIMIT = 64 * 2**20  # bytes of an image file, unpacked

ANNOTATIONS = "annotations.txt"  # end of the name of a table of labels, as in Tiny ImageNet


@dataclass(frozen=True)
class PictureFiles:
    """Image files of a folder or zip with their classes, numbered in the order of their names as text.

    Attributes:
        path: The folder or zip.
        files: The image files that count, in the order of their classes and paths.
        labels: One label from 0 for each image, (K,) int64; None if all images are of one class.
        class_names: Names of the classes in the order of the labels; None without labels.
        labels_from: The origin of the labels; without labels, the reason.
        notes: Sentences about files that do not count.
        survey: The outcome of the check of the files.
    """

    path: Path
    files: list[ListedFile]
    labels: np.ndarray | None
    class_names: tuple[str, ...] | None
    labels_from: str
    notes: tuple[str, ...] = ()
    survey: Survey = UNCHECKED

    @classmethod
    def of(cls, path: Path, listing: Listing, survey: Survey = UNCHECKED) -> PictureFiles:
        """Find the image files of a listing, and their classes.

        Args:
            path: The folder or zip.
            listing: Its files.
            survey: The outcome of the check of the files. Broken files do not count.
        """
        broken = {name for name, _ in survey.broken}
        images = image_files(listing)
        whole = [file for file in images if file.name not in broken]
        found = ClassFolders.of([file.name for file in whole])
        files = [whole[k] for k in found.places]
        notes = [*listing.notes, *found.notes]
        labels_from, classes, where = "folders", found.classes, ""
        if len(set(classes)) == 1:
            where = f"all images are of one class, {classes[0]}" if classes[0] else "no folders name their classes"
            labels_from, classes = annotated(path, listing.files, files, notes) or (where, classes)
        others = [
            file.name for file in listing.files if _suffix(file.name) not in suffixes() and file.name != labels_from
        ]
        if counted := counted_suffixes(others):
            notes.append(f"Skipped files that are no images: {counted}.")
        if labels_from in ("folders", where):
            notes.extend(_class_notes([file.name for file in whole], files, found.classes, listing.folders))
        names = tuple(sorted(set(classes)))
        numbers = {name: k for k, name in enumerate(names)}
        if len(names) < 2:
            return cls(path, files, None, None, labels_from, tuple(notes), survey)
        labels = np.array([numbers[name] for name in classes], np.int64)
        return cls(path, files, labels, names, labels_from, tuple(notes), survey)

    def __len__(self) -> int:
        return len(self.files)

    @property
    def names(self) -> list[str]:
        """Paths of the images, relative to the folder or zip."""
        return [file.name for file in self.files]

    @property
    def summary(self) -> DataSummary:
        """The summary of the image files."""
        total = len(self) + len(self.survey.broken)
        notes = (*self.survey.notes(total), *self.notes)
        counts = class_counts(self.class_names, self.labels)
        sizes, modes = self.survey.sizes, self.survey.modes
        return DataSummary(self.path.name, len(self), counts, self.labels_from, sizes, modes, notes)

    def pictures(self, indices: Iterable[int]) -> Iterator[np.ndarray]:
        """Yield the images, each (3, H, W) uint8, or float32 from 0 to 255 if its values are finer.

        Raises:
            NasctlError: A file is too large, or cannot be read or decoded.
        """
        scales = dict(self.survey.scales)
        for k, content in self._contents(indices):
            try:
                if isinstance(content, Exception):
                    raise content
                with decoded(content) as image:
                    pixels = image.pixels(scales)
            except Exception as error:  # decoders raise many types
                name = self.files[k].name
                if isinstance(error, OSError) and error.errno:  # the file system's error, not a decoder's
                    reason = f"{name} in {self.path} cannot be read ({error.strerror}); put it back"
                else:
                    reason = f"{name} in {self.path} cannot be decoded ({reason_of(error)}); replace or remove it"
                raise NasctlError(reason) from None
            yield pixels

    def _root(self) -> Path | ZipFile:
        """Return the folder or the open zip.

        Raises:
            NasctlError: It has vanished, or is no zip any more.
        """
        try:
            return self.path if self.path.is_dir() else _archive(self.path)
        except (OSError, BadZipFile) as error:
            reason = getattr(error, "strerror", None) or reason_of(error)
            raise NasctlError(f"Cannot read {self.path}: {reason}. Put it back and repeat the command.") from None

    def byte_sizes(self, indices: np.ndarray) -> np.ndarray:
        """Return the size of each file, (N,) int64."""
        return np.array([self.files[k].size for k in indices.tolist()], np.int64)

    def contents(self, indices: np.ndarray) -> Iterator[bytes]:
        """Yield the content of each file; its name in place of a content that cannot be read."""
        for k, content in self._contents(indices.tolist()):
            yield self.files[k].name.encode(errors="replace") if isinstance(content, Exception) else content

    def name_of(self, index: int) -> str:
        """Return the path of a file."""
        return self.files[index].name

    def checked(self) -> Survey:
        """Decode the files, up to the limits of a survey, and return the outcome."""
        return Surveyor(self.names).survey(self._contents(order_of_check(len(self)).tolist()))

    def _contents(self, indices: Iterable[int]) -> Iterator[tuple[int, bytes | Exception]]:
        """Yield indices of files with their content, or with the error of reading it."""
        root = self._root()
        for k in indices:
            content: bytes | Exception
            try:
                content = _bytes(root, self.files[k].key)
            except Exception as error:  # zipfile and its four decoders raise many types
                content = error
            yield k, content


def image_files(listing: Listing) -> list[ListedFile]:
    """Return the files of a listing that are images by their suffix."""
    kinds = suffixes()
    return [file for file in listing.files if _suffix(file.name) in kinds]


def listing_of(path: Path) -> Listing:
    """List the files of a folder or zip.

    Raises:
        OSError: The path cannot be opened.
        NasctlError: The file is no zip archive, or is protected by a password.
    """
    return list_folder(path) if path.is_dir() else list_zip(path)


def _archive(path: Path) -> ZipFile:
    """Return an open archive. It stays open, because its directory is long to read; another file is opened anew."""
    status = path.stat()
    # Forked processes would share one position in the file.
    return _opened(path, status.st_mtime_ns, status.st_size, status.st_ino, os.getpid())


@lru_cache(maxsize=1)
def _opened(path: Path, *identity: int) -> ZipFile:
    return ZipFile(path)


def _bytes(root: Path | ZipFile, key: str) -> bytes:
    """Return the content of a file.

    Raises:
        ValueError: The file is too large.
        Exception: Of any type, if the file cannot be read.
    """
    with root.open(key) if isinstance(root, ZipFile) else (root / key).open("rb") as stream:
        content = stream.read(LIMIT + 1)  # an archive may state a wrong size
    if len(content) > LIMIT:
        raise ValueError(f"it is larger than {LIMIT // 2**20} MB, too large for an image")
    return content


def _suffix(name: str) -> str:
    """Return the suffix of a path, in lower case."""
    _, dot, suffix = name.rpartition("/")[2].rpartition(".")
    return f".{suffix.lower()}" if dot else ""


def _class_notes(
    images: Sequence[str], files: Sequence[ListedFile], classes: Sequence[str], folders: frozenset[str]
) -> Iterator[str]:
    """Yield sentences about folders of classes without images, and about the order of the classes.

    Args:
        images: Paths of all images that can be decoded.
        files: The images that count.
        classes: The class of each of these.
        folders: Paths of all folders.
    """
    homes = set()  # paths of the folders that hold the folders of classes
    names = sorted(set(classes))
    for folder, name in {(file.name.rpartition("/")[0], name) for file, name in zip(files, classes, strict=True)}:
        if not name or (name.lower() in CONTAINERS | SPLITS and len(names) == 1):
            continue  # a folder such as `images` beside `annotations`
        parts = folder.split("/")
        homes.add("/".join(parts[: len(parts) - 1 - parts[::-1].index(name)]))
    holders = {f"{name.rpartition('/')[0]}/" for name in images}
    full = {holder[:place] for holder in holders for place, mark in enumerate(holder) if mark == "/"}
    if empty := sorted(folder for folder in folders - full if folder.rpartition("/")[0] in homes):
        yield f"Empty classes, folders without images, get no label: {quoted(empty)}."
    if all(name.isdecimal() for name in names) and names != sorted(names, key=int):
        yield f"Classes are numbered in the order of their names as text: {quoted(names)}."


def annotated(
    path: Path, listed: Sequence[ListedFile], files: Sequence[ListedFile], notes: list[str]
) -> tuple[str, list[str]] | None:
    """Return the name of a table of labels and the class of each image; None if no table has all images.

    A line of a table holds the name of an image, a tab, and its class, as in Tiny ImageNet's val_annotations.txt.

    Args:
        path: The folder or zip.
        listed: Files of it, tables among them.
        files: The images.
        notes: Sentences about tables that are not used are added here.
    """
    for table in listed:
        if not table.name.endswith(ANNOTATIONS):
            continue
        try:
            with nullcontext(path) if path.is_dir() else ZipFile(path) as root:
                lines = _bytes(root, table.key).decode("utf-8-sig").splitlines()
        except Exception as error:  # as for images
            notes.append(f"{table.name}: cannot be read ({reason_of(error)}), so its labels are not used.")
            continue
        rows = [line.split("\t") for line in lines if line.strip()]
        known = {row[0]: row[1] for row in rows if len(row) > 1}
        images = [file.name.rpartition("/")[2] for file in files]
        missing = [name for name in images if name not in known]
        if not missing and len(set(images)) == len(images):
            return table.name, [known[name] for name in images]
        notes.append(f"{table.name}: does not name one class for each image, so its labels are not used.")
    return None


__all__ = ["PictureFiles", "annotated", "image_files", "listing_of"]

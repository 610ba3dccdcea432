"""The words of the text files in a folder, as numbers."""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np

from nasctl.data._class_folders import TRAINING
from nasctl.data._decoding import suffixes
from nasctl.data._folders import is_junk, quoted
from nasctl.data._held_out import PARTS
from nasctl.data._protocols import Kind, Part
from nasctl.data._words import LIMIT, add_words, bytes_of, drawn_rows, ranks, text_of
from nasctl.data.text import SUFFIXES
from nasctl.errors import NasctlError


@dataclass(frozen=True)
class TextFolder:
    """The words of the text files in a folder, read in the order of the files' names; see `TextFile`.

    Files with `train` in their names hold the words for training, and those with `val`, `valid`, `dev` or `test` are
    set apart. Without a file for training, no file is set apart. Metrics are computed on the words for training.
    """

    kind: ClassVar[Kind] = "tokens"
    generic: ClassVar[bool] = False
    accepted: ClassVar[str] = "a folder of texts"

    name: str  # the name of the folder, without its place
    digest: str  # the first eight hexadecimal digits of the digest of the names and contents of the files
    path: Path = field(compare=False)

    @classmethod
    def claims(cls, path: Path) -> bool:
        """Return whether a path is a folder with texts, and without images and subfolders."""
        if not path.is_dir():
            return False
        found = [one for one in path.iterdir() if not is_junk(one.name)]
        if any(one.is_dir() or one.suffix.lower() in suffixes() for one in found):
            return False
        return any(one.name.lower().endswith(SUFFIXES) for one in found)

    @classmethod
    def at(cls, path: Path) -> TextFolder:
        """Return the texts of a folder.

        Raises:
            NasctlError: A text cannot be read or is not UTF-8, or the texts are too large.
        """
        path = path.resolve()
        digest = hashlib.sha256()
        for file in _files(path):
            digest.update(file.name.encode(errors="surrogateescape") + b"\0")
            digest.update(hashlib.sha256(bytes_of(file)).digest())
        found = cls(path.name, digest.hexdigest()[:8], path)
        _words(path, found.digest)
        return found

    def __str__(self) -> str:
        return f"{self.name}#{self.digest}"

    def tokens(self, vocabulary: int, length: int, number: int, seed: int, place: int = 0) -> np.ndarray:
        """Return rows of words, (N, T) int64 below `vocabulary`.

        Raises:
            NasctlError: The text has fewer words than a row.
        """
        return drawn_rows(str(self), self.word_parts()["train"], vocabulary, length, number, seed, place)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about the files that are not used."""
        parts = {file.name: _part(file.name) for file in _files(self.path)}
        unused = [name for name, part in parts.items() if part is None and "train" in parts.values()]
        return (f"{quoted(unused)}: not used, because the name tells no part of the data.",) if unused else ()

    def word_parts(self) -> Mapping[Part, np.ndarray]:
        """Return the words of the files by part, (K,) int64."""
        return _words(self.path, self.digest)


def _files(folder: Path) -> list[Path]:
    """Return the texts of a folder in the order of their names.

    Raises:
        NasctlError: The folder cannot be read.
    """
    try:
        found = [one for one in folder.iterdir() if not is_junk(one.name) and one.name.lower().endswith(SUFFIXES)]
    except OSError as error:
        raise NasctlError(f"Cannot read {folder}: {error.strerror}. Put it back and repeat the command.") from None
    return sorted(found, key=lambda one: one.name)


def _part(name: str) -> Part | None:
    """Return the part that the name of a file tells; None if it tells none."""
    for word in re.findall(r"[a-z]+", name.lower()):
        if word in TRAINING:
            return "train"
        if word in PARTS:
            return PARTS[word]
    return None


@lru_cache(maxsize=2)
def _words(folder: Path, digest: str) -> Mapping[Part, np.ndarray]:
    """Return the words of the files by part, numbered by their frequency in the words for training.

    Raises:
        NasctlError: As `TextFolder.at`.
    """
    parts: dict[Part | None, array[int]] = {}
    numbers: dict[str, int] = {}
    files = _files(folder)
    by_name = {file: _part(file.name) for file in files}
    trains = "train" in by_name.values()
    left = LIMIT
    for file in sorted(files, key=lambda one: (by_name[one] != "train", one.name)):
        text = text_of(file)
        left -= len(text)
        if left < 0:
            raise NasctlError(f"Cannot read {folder}: its texts have over {LIMIT >> 20} MiB. Remove some.")
        part = by_name[file] if trains else "train"
        add_words(text, numbers, parts.setdefault(part, array("q")))
    found = {part: np.frombuffer(words, np.int64) for part, words in parts.items() if part is not None}
    by_rank = ranks(found["train"], len(numbers))
    return {part: by_rank[words] for part, words in found.items()}


__all__ = ["TextFolder"]

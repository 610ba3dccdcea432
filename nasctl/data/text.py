"""The words of a text file, as numbers."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np

from nasctl.data._protocols import Kind, Part
from nasctl.errors import NasctlError
from nasctl.system import files

SUFFIXES = (".txt", ".txt.gz")

LIMIT = 64 * 2**20  # bytes of a text, unpacked

END = "\n"  # the word that ends every line; no other word contains it


@dataclass(frozen=True)
class TextFile:
    """The words of a text file. Blanks separate words, and every line ends with one more word, the end of the line.

    Words are numbered by their frequency, the most frequent first, and words of equal frequency by their first place in
    the text. If a vocabulary is too small for all words, its last number stands for every word without a number. An
    example is a row of consecutive words from a place that is drawn uniformly.
    """

    kind: ClassVar[Kind] = "tokens"
    generic: ClassVar[bool] = False
    accepted: ClassVar[str] = f"a text ({', '.join(SUFFIXES)})"

    name: str  # the name of the file, without its place
    digest: str  # the first eight hexadecimal digits of the digest of the file
    path: Path = field(compare=False)

    @classmethod
    def claims(cls, path: Path) -> bool:
        """Return whether the name of a path is the name of a text."""
        return path.name.lower().endswith(SUFFIXES)

    @classmethod
    def at(cls, path: Path) -> TextFile:
        """Return the text at a path.

        Raises:
            NasctlError: The text cannot be read, is too large, or is not UTF-8.
        """
        path = path.resolve()
        content = _content(path)
        found = cls(path.name, hashlib.sha256(content).hexdigest()[:8], path)
        _words(path, found.digest)
        return found

    def __str__(self) -> str:
        return f"{self.name}#{self.digest}"

    def tokens(self, vocabulary: int, length: int, number: int, seed: int, place: int = 0) -> np.ndarray:
        """Return rows of words, (N, T) int64 below `vocabulary`.

        Raises:
            NasctlError: The text has fewer words than a row.
        """
        words = _words(self.path, self.digest)
        if len(words) < length:
            raise NasctlError(f"{self} has {len(words)} words, too few for a row of {length}; give a longer text")
        starts = np.random.default_rng([seed, place]).integers(len(words) - length + 1, size=number)
        found: np.ndarray = np.minimum(words[starts[:, None] + np.arange(length)], vocabulary - 1)
        return found

    def word_parts(self) -> Mapping[Part, np.ndarray]:
        """Return the words, (K,) int64; none are set apart."""
        return {"train": _words(self.path, self.digest)}


def _content(path: Path) -> bytes:
    """Return the bytes of a file, packed or not.

    Raises:
        NasctlError: The file cannot be read, or is too large.
    """
    try:
        return files.read(path, LIMIT)
    except OSError as error:
        raise NasctlError(f"{path} cannot be read ({error.strerror}); give a text of up to {LIMIT >> 20} MiB") from None


# The words are kept outside the data, so that copies of the data for workers stay small.
@lru_cache(maxsize=2)
def _words(path: Path, digest: str) -> np.ndarray:
    """Return the words of a text as their numbers, (K,) int64.

    Raises:
        NasctlError: The text cannot be read or unpacked, is too large, or is not UTF-8.
    """
    content = _content(path)
    try:
        text = (files.unpacked(content, LIMIT) if content.startswith(files.GZIP) else content).decode("utf-8-sig")
    except OSError as error:
        raise NasctlError(f"{path} cannot be unpacked ({error.strerror}); pack it anew with gzip") from None
    except UnicodeDecodeError as error:
        raise NasctlError(f"{path} is no text in UTF-8 (byte {error.start}); save it as UTF-8") from None
    numbers: dict[str, int] = {}  # of each word, in the order of the first places
    found = array("q")
    for line in text.removesuffix("\n").split("\n"):
        found.extend(numbers.setdefault(word, len(numbers)) for word in (*line.split(), END))
    words = np.frombuffer(found, np.int64)
    order = np.argsort(-np.bincount(words), kind="stable")
    return np.argsort(order)[words]


__all__ = ["TextFile"]

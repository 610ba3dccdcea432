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
from nasctl.data._words import add_words, bytes_of, drawn_rows, ranks, text_of

SUFFIXES = (".txt", ".txt.gz")


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
        content = bytes_of(path)
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
        return drawn_rows(str(self), _words(self.path, self.digest), vocabulary, length, number, seed, place)

    def word_parts(self) -> Mapping[Part, np.ndarray]:
        """Return the words, (K,) int64; none are set apart."""
        return {"train": _words(self.path, self.digest)}


# The words are kept outside the data, so that copies of the data for workers stay small.
@lru_cache(maxsize=2)
def _words(path: Path, digest: str) -> np.ndarray:
    """Return the words of a text as their numbers, (K,) int64.

    Raises:
        NasctlError: The text cannot be read or unpacked, is too large, or is not UTF-8.
    """
    numbers: dict[str, int] = {}
    found = array("q")
    add_words(text_of(path), numbers, found)
    words = np.frombuffer(found, np.int64)
    return ranks(words, len(numbers))[words]


__all__ = ["TextFile"]

"""Words that a user has in a text file, as numbers."""

from __future__ import annotations

import hashlib
from array import array
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from nasctl.errors import NasctlError
from nasctl.system import files

SUFFIXES = (".txt", ".txt.gz")
LIMIT = 64 * 2**20  # bytes of a text, unpacked
END = "\n"  # the word that ends every line; no other can be like it


@dataclass(frozen=True)
class Text:
    """The words of a text file; words are separated by blanks, and every line ends with one more, the end of the line.

    Words are numbered by their frequency, the most frequent first, and of equal ones by their first place in the text.
    If a vocabulary is too small for all words, its last number is that of every word that it has no other for. An
    example is so many words in a row, from a place that is drawn uniformly.
    """

    name: str  # of the file, without where it is
    digest: str  # the first eight hexadecimal digits of the digest of the file
    path: Path = field(compare=False)

    @classmethod
    def at(cls, path: Path) -> Text:
        """The text that lies there.

        Raises:
            NasctlError: It cannot be read, is too large, or is no text in UTF-8.
        """
        path = path.resolve()
        content = _content(path)
        found = cls(path.name, hashlib.sha256(content).hexdigest()[:8], path)
        _words(path, found.digest)
        return found

    def __str__(self) -> str:
        return f"{self.name}#{self.digest}"

    def tokens(self, vocabulary: int, length: int, number: int, seed: int, place: int = 0) -> np.ndarray:
        """Examples, (N, T) int64 below `vocabulary`.

        Raises:
            NasctlError: The text has fewer words than that.
        """
        words = _words(self.path, self.digest)
        if len(words) < length:
            raise NasctlError(f"{self} has {len(words)} words, too few for a row of {length}; give a longer text")
        starts = np.random.default_rng([seed, place]).integers(len(words) - length + 1, size=number)
        found: np.ndarray = np.minimum(words[starts[:, None] + np.arange(length)], vocabulary - 1)
        return found


def _content(path: Path) -> bytes:
    """What the file holds, packed or not."""
    try:
        return files.read(path, LIMIT)
    except OSError as error:
        raise NasctlError(f"{path} cannot be read ({error.strerror}); give a text of up to {LIMIT >> 20} MiB") from None


# Outside the value that a run carries, so that copies of that stay small.
@lru_cache(maxsize=2)
def _words(path: Path, digest: str) -> np.ndarray:
    """The words of the text by their ranks, (K,) int64."""
    content = _content(path)
    try:
        text = (files.unpacked(content, LIMIT) if content.startswith(files.GZIP) else content).decode("utf-8-sig")
    except OSError as error:
        raise NasctlError(f"{path} cannot be unpacked ({error.strerror}); pack it anew with gzip") from None
    except UnicodeDecodeError as error:
        raise NasctlError(f"{path} is no text in UTF-8 (byte {error.start}); save it as UTF-8") from None
    numbers: dict[str, int] = {}  # of words in the order in which they first come
    found = array("q")
    for line in text.removesuffix("\n").split("\n"):
        found.extend(numbers.setdefault(word, len(numbers)) for word in (*line.split(), END))
    words = np.frombuffer(found, np.int64)
    order = np.argsort(-np.bincount(words), kind="stable")
    return np.argsort(order)[words]

"""Text files to words as numbers."""

from __future__ import annotations

from array import array
from pathlib import Path

import numpy as np

from nasctl.errors import NasctlError
from nasctl.system import files

LIMIT = 64 * 2**20  # bytes of a text, unpacked

END = "\n"  # the word that ends every line; no other word contains it


def bytes_of(path: Path) -> bytes:
    """Return the bytes of a file, packed or not.

    Raises:
        NasctlError: The file cannot be read, or is too large.
    """
    try:
        return files.read(path, LIMIT)
    except OSError as error:
        raise NasctlError(f"{path} cannot be read ({error.strerror}); give a text of up to {LIMIT >> 20} MiB") from None


def text_of(path: Path) -> str:
    """Return the text of a file, packed or not.

    Raises:
        NasctlError: The text cannot be read or unpacked, is too large, or is not UTF-8.
    """
    content = bytes_of(path)
    try:
        return (files.unpacked(content, LIMIT) if content.startswith(files.GZIP) else content).decode("utf-8-sig")
    except OSError as error:
        raise NasctlError(f"{path} cannot be unpacked ({error.strerror}); pack it anew with gzip") from None
    except UnicodeDecodeError as error:
        raise NasctlError(f"{path} is no text in UTF-8 (byte {error.start}); save it as UTF-8") from None


def add_words(text: str, numbers: dict[str, int], words: array[int]) -> None:
    """Append the words of a text to others.

    Args:
        text: The text. Blanks separate words, and every line ends with one more word.
        numbers: Numbers of known words in the order of their first places. New words are added.
        words: The words before, to which those of the text are added.
    """
    for line in text.removesuffix("\n").split("\n"):
        words.extend(numbers.setdefault(word, len(numbers)) for word in (*line.split(), END))


def ranks(words: np.ndarray, number: int) -> np.ndarray:
    """Return the rank of each word by its frequency, the most frequent first, then in the order of numbers, (V,) int64.

    Args:
        words: Words of a text as numbers, (K,) int64.
        number: V.
    """
    return np.argsort(np.argsort(-np.bincount(words, minlength=number), kind="stable"))


def drawn_rows(
    name: str, words: np.ndarray, vocabulary: int, length: int, number: int, seed: int, place: int
) -> np.ndarray:
    """Return rows of consecutive words from places that are drawn uniformly, (N, T) int64 below `vocabulary`.

    Args:
        name: The name of the text, for the message.
        words: The words of the text by rank, (K,) int64.
        vocabulary: Number of words; the last one stands for all others.
        length: T.
        number: N.
        seed: The seed of the drawing.
        place: The number of the batch for that seed.

    Raises:
        NasctlError: The text has fewer words than a row.
    """
    if len(words) < length:
        raise NasctlError(f"{name} has {len(words)} words, too few for a row of {length}; give a longer text")
    starts = np.random.default_rng([seed, place]).integers(len(words) - length + 1, size=number)
    found: np.ndarray = np.minimum(words[starts[:, None] + np.arange(length)], vocabulary - 1)
    return found

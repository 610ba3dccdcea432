"""Rows of words with their labels, for the training of language models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np

from nasctl.data import HasNotes, LabelledWords, Part
from nasctl.errors import NasctlError
from nasctl.training.split import PARTS, Split


@dataclass(frozen=True)
class WordTrainingData:
    """Rows of consecutive words. Rows of a part do not overlap, and follow each other in the order of the text.

    A text is cut into one piece for each part: first training, then validation, then test. Words are numbered by their
    frequency in the training part, the most frequent first, and words of equal frequency by their first place. The last
    number of the vocabulary stands for words that the vocabulary has no room for, that the training part lacks, or
    that it has only once. So a network learns to expect unknown words: the share of words that occur once estimates the
    share of unseen ones (Good, "The population frequencies of species and the estimation of population parameters",
    Biometrika 40, 1953). For masked words the last number is the mask, and the last but one stands for the others.

    Attributes:
        identity: The text of the data.
        task: "next words" or "masked words".
        length: Words of a row, T.
        vocabulary: Number of words that the network knows.
        notes: Sentences for a user.
    """

    class_names: ClassVar[None] = None
    mean: ClassVar[tuple[float, ...]] = ()
    deviation: ClassVar[tuple[float, ...]] = ()
    in_memory: ClassVar[bool] = True

    identity: str
    task: Literal["next words", "masked words"]
    length: int
    vocabulary: int
    notes: tuple[str, ...] = field(compare=False)
    _words: Mapping[Part, np.ndarray] = field(compare=False, repr=False)  # int32 to save memory

    @classmethod
    def of(
        cls,
        data: LabelledWords,
        length: int,
        vocabulary: int,
        task: Literal["next words", "masked words"],
        split: Split,
    ) -> WordTrainingData:
        """Return the rows of a text.

        Args:
            data: The text.
            length: Words of a row.
            vocabulary: Number of words that the network knows.
            task: The labels of the words.
            split: Shares of the parts that the data does not set apart.

        Raises:
            NasctlError: A part has no row, or the vocabulary is too small.
        """
        masked = task == "masked words"
        known = vocabulary - masked
        if known < 2:
            raise NasctlError(f"Cannot train on {data}: the vocabulary has {vocabulary} words. Give the space more.")
        parts = _pieces(data.word_parts(), split)
        for part, words in parts.items():
            if len(words) < length + (not masked) and (part in data.word_parts() or split.share(part)):
                raise NasctlError(
                    f"Cannot train on {data}: its {part} part has {len(words)} words, too few for a row of {length}."
                    " Give a longer text, or a space of shorter rows."
                )
        numbers, distinct = _numbering(parts)
        shown = {part: numbers[words] for part, words in parts.items()}
        others = {part: words >= min(known - 1, distinct) for part, words in shown.items()}
        clipped = {part: np.where(others[part], known - 1, words).astype(np.int32) for part, words in shown.items()}
        notes = (*_notes(others, distinct, known), *(data.notes if isinstance(data, HasNotes) else ()))
        return cls(f"{data} split={split}", task, length, vocabulary, notes, clipped)

    def __str__(self) -> str:
        return self.identity

    def size(self, part: Part) -> int:
        """Return the number of rows of a part."""
        return max(0, len(self._words[part]) - (self.task == "next words")) // self.length

    def class_counts(self, part: Part) -> None:
        """Return None: words have no classes."""

    def examples(self, part: Part, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return rows of words and their labels, (N, T) int64 each; see `TrainingData`."""
        places = np.asarray(indices, np.int64)[:, None] * self.length + np.arange(self.length)
        words = self._words[part]
        rows = words[places].astype(np.int64)
        return rows, words[places + 1].astype(np.int64) if self.task == "next words" else rows.copy()


def _pieces(given: Mapping[Part, np.ndarray], split: Split) -> dict[Part, np.ndarray]:
    """Return the words of each part: those that the data sets apart, and pieces of the other words."""
    text = given["train"]
    pieces = split.without([part for part in given if part != "train"]).pieces(len(text))
    return {part: text[slice(*pieces[part])] if part == "train" or part not in given else given[part] for part in PARTS}


def _numbering(parts: Mapping[Part, np.ndarray]) -> tuple[np.ndarray, int]:
    """Return the number of each word by its frequency in the training part, and the number of words that it repeats.

    The words that it does not repeat all have the number after the last of those.
    """
    words, first, counts = np.unique(parts["train"], return_index=True, return_counts=True)
    words, first, counts = (some[counts > 1] for some in (words, first, counts))
    numbers = np.full(1 + max(int(some.max(initial=0)) for some in parts.values()), len(words), np.int64)
    numbers[words[np.lexsort((first, -counts))]] = np.arange(len(words))
    return numbers, len(words)


def _notes(others: Mapping[Part, np.ndarray], distinct: int, known: int) -> Iterator[str]:
    """Yield sentences about the words.

    Args:
        others: True for each word of a part that has no number of its own.
        distinct: Number of words that the training part repeats.
        known: Number of words that the network tells apart, the word for all others included.
    """
    parts = [part for part in PARTS if len(others[part])]
    yield f"Words: {', '.join(f'{len(others[part]):,} {part}' for part in parts)}."
    shares = ", ".join(f"{others[part].mean():.1%} of {part}" for part in parts)
    yield (
        f"{min(distinct, known - 1):,} words have a number of their own, of {distinct:,} that the training part"
        f" repeats; one number stands for all others ({shares})."
    )


__all__ = ["WordTrainingData"]

"""Random words with the frequencies of natural text."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from nasctl.data._protocols import Kind

RANK_SHIFT = 2.7  # added to the rank of a word, counted from 1


@dataclass(frozen=True)
class DrawnTokens:
    """Independent words with the frequencies of natural text.

    The word of rank r, counted from 1, is number r - 1, and its probability is proportional to ``1 / (r + 2.7)``.

    References:
        Piantadosi, "Zipf's word frequency law in natural language: a critical review and future directions",
        Psychonomic Bulletin & Review 21, 2014, equation 2, which is Mandelbrot's form of Zipf's law.
    """

    kind: ClassVar[Kind] = "tokens"

    def __str__(self) -> str:
        return "tokens"

    def tokens(self, vocabulary: int, length: int, number: int, seed: int, place: int = 0) -> np.ndarray:
        """Return rows of words, (N, T) int64 below `vocabulary`."""
        cumulative = _cumulative_frequencies(vocabulary)
        drawn = np.random.default_rng([seed, place]).random((number, length))
        return np.minimum(np.searchsorted(cumulative, drawn, side="right"), vocabulary - 1)


@lru_cache(maxsize=4)
def _cumulative_frequencies(vocabulary: int) -> np.ndarray:
    """Return, for each word, the share of a text that the word and all more frequent words make up, (V,)."""
    sums = np.cumsum(1 / (np.arange(1, vocabulary + 1) + RANK_SHIFT))
    cumulative: np.ndarray = sums / sums[-1]
    return cumulative


__all__ = ["DrawnTokens"]

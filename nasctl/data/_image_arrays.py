"""Images of one size in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ImageArrays:
    """Images of one size in memory, with labels if there are any."""

    images: np.ndarray  # (K, C, H, W) uint8 or float32
    labels: np.ndarray | None  # (K,) int64

    def __len__(self) -> int:
        return len(self.images)

    def pictures(self, indices: Iterable[int]) -> Iterator[np.ndarray]:
        """Return the images, (C, H, W) each."""
        return (self.images[k] for k in indices)


def numbered(labels: Iterable[object]) -> np.ndarray | None:
    """Return labels numbered from 0 in their sorted order, (K,) int64; None if all of them are the same."""
    known, numbers = np.unique(np.array(list(labels)), return_inverse=True)
    return numbers.astype(np.int64) if len(known) > 1 else None

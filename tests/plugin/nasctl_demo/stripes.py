"""Images of vertical stripes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Stripes:
    """Vertical stripes of random phase.

    Args:
        width: The width of a stripe, in pixels.
    """

    width: int = 1
    kind = "images"
    classes = None

    def __str__(self) -> str:
        return f"demo_stripes:width={self.width}"

    def images(self, shape: tuple[int, ...], number: int, seed: int, place: int = 0) -> tuple[np.ndarray, None]:
        """Return images, (N, C, H, W) float32, and no labels."""
        phases = np.random.default_rng([seed, place]).integers(2 * self.width, size=(number, 1, 1, 1))
        columns = (np.arange(shape[2]) + phases) // self.width % 2 * 2 - 1
        return np.broadcast_to(columns, (number, *shape)).astype(np.float32), None

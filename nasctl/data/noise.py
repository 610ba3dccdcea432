"""Gaussian noise as images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nasctl.data._protocols import Kind


@dataclass(frozen=True)
class GaussianNoise:
    """Independent values from N(0, 1), in any shape."""

    kind: ClassVar[Kind] = "images"
    classes: ClassVar[None] = None

    def __str__(self) -> str:
        return "noise"

    def images(self, shape: tuple[int, ...], number: int, seed: int, place: int = 0) -> tuple[np.ndarray, None]:
        """Return images, (N, *shape) float32, and no labels."""
        rng = np.random.default_rng([seed, place])
        return rng.standard_normal((number, *shape), dtype=np.float32), None


__all__ = ["GaussianNoise"]

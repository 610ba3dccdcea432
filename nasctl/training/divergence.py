"""The rule by which a training counts as diverged; a function of the recorded losses, so that it can be replayed."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

import numpy as np

WINDOW = 100  # losses of the running median

LEAST = 20  # losses before the median says anything

FACTOR = 3.0  # times the median


class DivergenceRule:
    """The rule: a loss that is not finite, or larger than three times the running median and than chance.

    The median is over the last 100 losses. It says nothing during the warm-up, while the rate still rises. A loss below
    the loss of chance never counts: where the median is almost 0, one hard batch exceeds three times the median.

    Args:
        chance: The loss of a network that has learnt nothing, such as log(classes); for supernets a multiple of it.
        warmup: Number of steps of the warm-up.
    """

    def __init__(self, chance: float, warmup: int) -> None:
        self._chance, self._warmup = chance, warmup
        self._recent: deque[float] = deque(maxlen=WINDOW)

    @property
    def recent(self) -> np.ndarray:
        """The losses of the window, (at most WINDOW,) float64: the whole state of the rule."""
        return np.array(self._recent, dtype=np.float64)

    def restore(self, recent: Iterable[float]) -> None:
        """Set the losses of the window."""
        self._recent = deque((float(loss) for loss in recent), maxlen=WINDOW)

    def diverged(self, step: int, loss: float) -> bool:
        """Record the loss of a step, and return whether the training has diverged."""
        if not math.isfinite(loss):
            return True
        ripe = step >= self._warmup and len(self._recent) >= LEAST
        limit = max(self._chance, FACTOR * float(np.median(self.recent))) if ripe else math.inf
        self._recent.append(loss)
        return loss > limit


__all__ = ["DivergenceRule"]

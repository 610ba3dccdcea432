"""The largest, the smallest and random networks in each step, taught by the largest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nasctl.api import BadOption, Pass, StrategyContext
from nasctl.supernets.strategies._distance import checked_distance

__all__ = ["Sandwich"]


class Sandwich:
    """Train the largest network on labels, and the smallest and random ones on the outputs of the largest.

    The last gain of each residual branch begins at zero. Weight decay of the shared weights is that of the largest
    network.

    Differences from the paper: it also uses dropout and drop connections in the largest network alone, which no space
    has, and a learning rate that falls exponentially to a constant, which the recipe has as schedule=exponential.

    Args:
        random: Random networks in each step.
        distance: Distance from the outputs of the largest network: "kl", or "alpha", the adaptive divergence of
            AlphaNet with inverse importance ratios of at most 5; "alpha1000" has another limit.

    References:
        Yu et al., "BigNAS: scaling up neural architecture search with big single-stage models", ECCV 2020,
        arXiv:2003.11142, section 3.1.
    """

    zero_last_gains = True

    def __init__(self, context: StrategyContext, random: int = 2, distance: str = "kl") -> None:
        if random < 0:
            raise BadOption(f"Cannot train a sandwich with random={random}. Give random=0 or more.")
        self._context, self._random = context, random
        self.distance = checked_distance("sandwich", distance)

    def passes(self, step: int) -> Sequence[Pass]:
        rng = self._context.rng(step)
        drawn = [self._context.draw(rng) for _ in range(self._random)]
        first = Pass((self._context.largest,), teaches=True)
        return (first, *(Pass((one,), learns="teacher") for one in (*drawn, self._context.smallest)))

    def told(self, step: int, losses: Sequence[float], norms: Sequence[float]) -> None:
        pass

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        return {}

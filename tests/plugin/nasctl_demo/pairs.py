"""Two random networks in each step, the larger one as the teacher of the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nasctl.api import BadOption, Pass, StrategyContext


class Pairs:
    """Train two random networks a step, the larger one on labels and the other on both.

    Args:
        labels: Share of the labels in the loss of the smaller network.
    """

    def __init__(self, context: StrategyContext, labels: float = 0.5) -> None:
        if not 0 <= labels <= 1:
            raise BadOption(f"Cannot use demo_pairs with labels={labels:g}. Give a share from 0 to 1.")
        self._context, self._labels = context, labels

    def passes(self, step: int) -> Sequence[Pass]:
        rng = self._context.rng(step)
        small, large = sorted((self._context.draw(rng) for _ in range(2)), key=self._context.macs)
        return Pass((large,), teaches=True), Pass((small,), learns="both", labels=self._labels)

    def told(self, step: int, losses: Sequence[float], norms: Sequence[float]) -> None:
        pass

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        return {}

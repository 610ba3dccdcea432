"""One random network a step: single-path one-shot training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nasctl.api import Pass, StrategyContext

__all__ = ["SinglePath"]


class SinglePath:
    """Train one network a step, drawn with uniform genes.

    References:
        Guo et al., "Single path one-shot neural architecture search with uniform sampling", ECCV 2020,
        arXiv:1904.00420.
    """

    def __init__(self, context: StrategyContext) -> None:
        self._context = context

    def passes(self, step: int) -> Sequence[Pass]:
        return (Pass((self._context.draw(self._context.rng(step)),)),)

    def told(self, step: int, losses: Sequence[float], norms: Sequence[float]) -> None:
        pass

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        return {}

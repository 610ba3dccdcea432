"""A trained network that becomes elastic: the largest network and random ones, from given weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nasctl.api import BadOption, Pass, StrategyContext
from nasctl.supernets.strategies._distance import checked_distance

__all__ = ["Elastic"]

MOST_NETWORKS = 1000  # in a step


class Elastic:
    """Train on from the weights of a trained network: that network, which is the largest, and random ones.

    The loss of a step is the sum over both networks of `labels` times the loss on labels and 1 - `labels` times the
    distance from a teacher. With teacher=largest, random networks learn from the outputs of the largest one, which has
    no teacher itself. With teacher=given, all learn from the network as it was given, whose weights stay.

    Args:
        labels: Share of the labels in the loss, above 0 up to 1; a of the paper.
        random: Random networks in each step.
        teacher: "largest" for g = 0 of the paper, or "given" for g = 1.
        distance: Distance from the outputs of the teacher: "kl", or "alpha", the adaptive divergence of AlphaNet with
            inverse importance ratios of at most 5; "alpha1000" has another limit.

    References:
        Sridhar et al., "InstaTune: instantaneous neural architecture search during fine-tuning", ICCV workshops 2023,
        arXiv:2308.15609.
    """

    def __init__(
        self,
        context: StrategyContext,
        labels: float = 0.3,
        random: int = 1,
        teacher: str = "largest",
        distance: str = "kl",
    ) -> None:
        if not 0 < labels <= 1:
            raise BadOption(f"Cannot use elastic with labels={labels:g}. Give a share above 0, up to 1.")
        if not 1 <= random <= MOST_NETWORKS:
            raise BadOption(f"Cannot use elastic with random={random}. Give random from 1 to {MOST_NETWORKS:,}.")
        if teacher not in ("largest", "given"):
            raise BadOption(f"Cannot use elastic with teacher={teacher}. Give teacher=largest or teacher=given.")
        self._context, self._labels, self._random = context, labels, random
        self.start_teaches = teacher == "given"
        self.distance = checked_distance("elastic", distance)

    def passes(self, step: int) -> Sequence[Pass]:
        rng, largest = self._context.rng(step), (self._context.largest,)
        first = Pass(largest, teaches=True, weight=self._labels)
        if self.start_teaches:
            first = Pass(largest, learns="both", labels=self._labels)
        drawn = [self._context.draw(rng) for _ in range(self._random)]
        return (first, *(Pass((one,), learns="both", labels=self._labels) for one in drawn))

    def told(self, step: int, losses: Sequence[float], norms: Sequence[float]) -> None:
        pass

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        return {}

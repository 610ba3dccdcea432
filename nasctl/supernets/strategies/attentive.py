"""The best or the worst of several random networks of one cost: attentive sampling."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Literal

import numpy as np

from nasctl.api import BadOption, Pass, StrategyContext
from nasctl.supernets.strategies._conditional import CostBins, check_bins, uniform_list
from nasctl.supernets.strategies._distance import checked_distance

__all__ = ["Attentive"]

MOST_NETWORKS = 1000  # in a step, and for a choice


class Attentive:
    """Train the largest and the smallest network, and networks that are the best or the worst of their cost.

    For each sampled network, a bin of multiply-accumulates is drawn by the share of random networks that fall into it.
    Candidates of that bin are drawn, and the one with the lowest loss (BestUp) or the highest loss (WorstUp) on the
    step's batch is trained. The largest network learns from labels, all others from its outputs.

    Differences from the paper: the prior and the tables of choices come from random networks of the space, not from a
    list that a user makes, and the recipe limits the norm of the gradient (clip=5), where the paper limits each of its
    numbers to 1.

    Args:
        up: "best" for BestUp, or "worst" for WorstUp.
        random: Sampled networks in each step.
        candidates: Candidates for each sampled network.
        bins: Bins between the smallest and the largest network.
        listed: Random networks from which the prior and the tables of choices are counted.
        distance: Distance from the outputs of the largest network: "kl", or "alpha", the adaptive divergence of
            AlphaNet with inverse importance ratios of at most 5; "alpha1000" has another limit.

    References:
        Wang et al., "AttentiveNAS: improving neural architecture search via attentive sampling", CVPR 2021,
        arXiv:2011.09011, algorithm 1. Wang et al., "AlphaNet: improved training of supernets with alpha-divergence",
        ICML 2021, arXiv:2102.07954.
    """

    zero_last_gains = True

    def __init__(
        self,
        context: StrategyContext,
        up: str = "best",
        random: int = 2,
        candidates: int = 3,
        bins: int = 20,
        listed: int = 2000,
        distance: str = "kl",
    ) -> None:
        if up not in ("best", "worst"):
            raise BadOption(f"Cannot use attentive with up={up}. Give up=best or up=worst.")
        for name, value in (("random", random), ("candidates", candidates)):
            if not 1 <= value <= MOST_NETWORKS:
                raise BadOption(f"Cannot use attentive with {name}={value}. Give {name} from 1 to {MOST_NETWORKS:,}.")
        check_bins("attentive", bins, listed)
        self._context, self._random, self._candidates = context, random, candidates
        self._number, self._listed = bins, listed
        self._up: Literal["best", "worst"] = "best" if up == "best" else "worst"
        self.distance = checked_distance("attentive", distance)

    @cached_property
    def bins(self) -> CostBins:
        """The bins of multiply-accumulates."""
        return CostBins(self._context, uniform_list(self._context, self._listed), self._number)

    def passes(self, step: int) -> Sequence[Pass]:
        rng, context = self._context.rng(step), self._context
        sampled = []
        for place in rng.choice(self._number, size=self._random, p=self.bins.prior).tolist():
            candidates = tuple(self.bins.draw(rng, place) for _ in range(self._candidates))
            sampled.append(Pass(candidates, self._up, learns="teacher"))
        first = Pass((context.largest,), teaches=True)
        return (first, *sampled, Pass((context.smallest,), learns="teacher"))

    def told(self, step: int, losses: Sequence[float], norms: Sequence[float]) -> None:
        pass

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        return {}

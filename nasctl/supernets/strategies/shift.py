"""Networks of those costs whose gradients are large: sampling that shifts during the training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from nasctl.api import BadOption, Pass, StrategyContext
from nasctl.supernets.strategies._conditional import CostBins, check_bins, covering_list

__all__ = ["Shift"]

MOST_NETWORKS = 1000  # in a step


class Shift:
    """Train random networks of bins of multiply-accumulates, whose probabilities follow their gradients.

    All bins with networks have one probability at first, so the extremes are trained as often as the middle. From a
    share of the training on, the probability of a bin is set at regular steps to its share of the mean gradient norms.
    The norm of a bin is an exponential mean over the networks that were drawn from it. A bin that has none has the mean
    of the others.

    The method of the paper also learns the probabilities, with a second gradient on validation images through a
    Gumbel softmax. This strategy has the gradient of the training batch alone.

    Args:
        bins: Bins between the smallest and the largest network.
        every: Steps between two changes of the probabilities.
        after: Share of the training before the first change.
        keep: Share of the old mean in each exponential mean of norms.
        random: Networks in each step.
        sandwich: Whether each step also trains the largest network, on labels, and the smallest. All others then learn
            from the outputs of the largest.
        listed: Networks from which the tables of choices of each bin are counted.

    References:
        Zhang et al., "ShiftNAS: improving one-shot NAS via probability shift", ICCV 2023, arXiv:2307.08300.
    """

    reads_norms = True

    def __init__(
        self,
        context: StrategyContext,
        bins: int = 10,
        every: int = 100,
        after: float = 0.1,
        keep: float = 0.9,
        random: int = 1,
        sandwich: bool = False,
        listed: int = 2000,
    ) -> None:
        check_bins("shift", bins, listed)
        if every < 1:
            raise BadOption(f"Cannot use shift with every={every}. Give a number of steps, 1 or more.")
        if not 1 <= random <= MOST_NETWORKS:
            raise BadOption(f"Cannot use shift with random={random}. Give random from 1 to {MOST_NETWORKS:,}.")
        for name, value in (("after", after), ("keep", keep)):
            if not 0 <= value < 1:
                raise BadOption(f"Cannot use shift with {name}={value:g}. Give a share from 0 to below 1.")
        self._context, self._number, self._listed = context, bins, listed
        self._every, self._after, self._keep = every, after * context.steps, keep
        self._random, self._sandwich = random, sandwich
        self.zero_last_gains = sandwich
        self._probabilities = np.full(bins, 1 / bins)
        self._norms, self._counts = np.zeros(bins), np.zeros(bins, np.int64)

    @cached_property
    def bins(self) -> CostBins:
        """The bins of multiply-accumulates."""
        return CostBins(self._context, covering_list(self._context, self._listed), self._number)

    @property
    def probabilities(self) -> np.ndarray:
        """The probability of each bin, (bins,): 0 for a bin without networks."""
        found = self._probabilities * (self.bins.sizes > 0)
        shares: np.ndarray = found / found.sum()
        return shares

    def passes(self, step: int) -> Sequence[Pass]:
        rng, context = self._context.rng(step), self._context
        drawn = [self.bins.draw(rng, place) for place in self._places(rng)]
        if not self._sandwich:
            return tuple(Pass((one,)) for one in drawn)
        first = Pass((context.largest,), teaches=True)
        return (first, *(Pass((one,), learns="teacher") for one in (*drawn, context.smallest)))

    def told(self, step: int, losses: Sequence[float], norms: Sequence[float]) -> None:
        drawn = norms[1:-1] if self._sandwich else norms
        for place, norm in zip(self._places(self._context.rng(step)), drawn, strict=True):
            if math.isfinite(norm):  # the training goes back after a step without a finite gradient
                keep = self._keep if self._counts[place] else 0.0
                self._norms[place] = keep * self._norms[place] + (1 - keep) * norm
                self._counts[place] += 1
        if step + 1 >= self._after and (step + 1) % self._every == 0:
            self._shift()

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        return {"probabilities": self._probabilities, "norms": self._norms, "counts": self._counts}

    def _places(self, rng: np.random.Generator) -> list[int]:
        """Return the bins of the networks of a step, whose generator has not been used."""
        places: list[int] = rng.choice(self._number, size=self._random, p=self.probabilities).tolist()
        return places

    def _shift(self) -> None:
        """Set the probability of each bin to its share of the norms."""
        seen = self._counts > 0
        if self._norms.sum() > 0:
            norms = np.where(seen, self._norms, self._norms[seen].mean())
            self._probabilities[:] = norms / norms.sum()

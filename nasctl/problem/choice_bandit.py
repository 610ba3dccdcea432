"""Bandits that learn the choices of genes from losses alone, one for each gene."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from nasctl.errors import BadOption
from nasctl.problem.space import Genome

RIDGE = 1.0  # L2 penalty of the regression, in observations

LEAST = 1e-6  # probability that a loss is divided by, at least; a recorded genome may have had a smaller one

KEEP = 0.95  # share of the old mean loss in the exponential mean that the regression subtracts


class ChoiceBandit:
    """A bandit for each gene, all of which see the loss of the whole genome that they have drawn together.

    Each bandit estimates the sum of the losses L of its choices over all rounds, and draws with the probabilities
    softmax(-eta L). The estimate is either that of EXP3, which adds the loss divided by its probability to the choice
    that was drawn, or the number of rounds times the coefficient of the choice in a ridge regression of the losses on
    the choices of all genes. With `zipf`, the choice of rank r by its estimate has a probability in proportion to 1/r
    instead; choices of equal estimates share theirs.

    With losses from 0 to 1, the regret of a gene with K choices after T rounds is at most sqrt(2 T K ln K) for EXP3
    with eta = sqrt(2 ln K / (T K)), and 2 sqrt(T K ln K) with eta = sqrt(ln K / (t K)) in round t, which needs no T.

    Args:
        counts: Number of choices of each gene, (genes,).
        rounds: Number of rounds T; None if it is not known.
        eta: Learning rate; 0 for the ones above.
        estimate: "weighted" for the estimate of EXP3, "ridge" for that of the regression.
        zipf: Whether probabilities follow ranks alone.

    Raises:
        BadOption: An option is out of range.

    References:
        Carlucci et al., "MANAS: multi-agent neural architecture search", arXiv:1909.01051, whose least-squares variant
        is `ridge`. Auer et al., "The nonstochastic multiarmed bandit problem", SIAM Journal on Computing 32 (2002),
        48-77. Bubeck & Cesa-Bianchi, "Regret analysis of stochastic and nonstochastic multi-armed bandit problems",
        2012, arXiv:1204.5721, theorem 3.1: the bounds.
    """

    def __init__(
        self,
        counts: Sequence[int],
        rounds: int | None = None,
        eta: float = 0.0,
        estimate: str = "weighted",
        zipf: bool = False,
    ) -> None:
        if estimate not in ("weighted", "ridge"):
            raise BadOption(f"Cannot use manas with estimate={estimate}. Give estimate=weighted or estimate=ridge.")
        if not 0 <= eta < math.inf:
            raise BadOption(f"Cannot use manas with eta={eta:g}. Give a number above 0, or 0 for the rate of theory.")
        self.counts = tuple(counts)
        self._starts = np.cumsum([0, *counts[:-1]])  # of the choices of each gene among those of all
        self._rounds, self._eta, self._zipf, self._ridge = rounds, eta, zipf, estimate == "ridge"
        total = sum(counts)
        self.arrays: dict[str, np.ndarray] = {"rounds": np.zeros(1, np.int64)}
        if self._ridge:
            self.arrays |= {"gram": np.zeros((total, total)), "moments": np.zeros(total), "mean": np.zeros(1)}
        else:
            self.arrays["losses"] = np.zeros(total)

    def probabilities(self) -> list[np.ndarray]:
        """Return the probability of each choice of each gene, (genes,) arrays of (choices,)."""
        found = []
        for losses in np.split(self._losses(), self._starts[1:]):
            if self._zipf:
                found.append(_zipf(losses))
            else:
                scores = np.exp(-self._rate(len(losses)) * (losses - losses.min()))
                found.append(scores / scores.sum())
        return found

    def draw(self, rng: np.random.Generator) -> Genome:
        """Return a raw genome, whose genes are drawn independently."""
        return drawn_choices(self.probabilities(), rng)

    def learn(self, genomes: Sequence[Genome], losses: Sequence[float]) -> None:
        """Learn from the losses of genomes that were drawn with the present probabilities.

        Args:
            genomes: Raw genomes, as they were drawn, (N,).
            losses: Their losses, (N,), from 0 to 1; one that is not finite teaches nothing.
        """
        probabilities = np.concatenate(self.probabilities())
        for genome, loss in zip(genomes, losses, strict=True):
            if not math.isfinite(loss):
                continue
            places = self._starts + np.asarray(genome)
            if self._ridge:
                self._add(places, loss)
            else:
                self.arrays["losses"][places] += loss / np.maximum(probabilities[places], LEAST)
            self.arrays["rounds"][0] += 1

    def _add(self, places: np.ndarray, loss: float) -> None:
        """Add an observation to the regression.

        The mean of earlier losses is subtracted, because the losses of a training fall as the weights learn.
        """
        rounds, mean = self.arrays["rounds"], self.arrays["mean"]
        keep = KEEP if rounds[0] else 0.0
        self.arrays["moments"][places] += loss - (mean[0] if rounds[0] else loss)
        self.arrays["gram"][np.ix_(places, places)] += 1
        mean[0] = keep * mean[0] + (1 - keep) * loss

    def _losses(self) -> np.ndarray:
        """Return the estimated sums of the losses of all choices, up to a constant for each gene, (choices,)."""
        if not self._ridge:
            return self.arrays["losses"]
        gram = self.arrays["gram"] + RIDGE * np.eye(len(self.arrays["gram"]))
        found: np.ndarray = self.arrays["rounds"][0] * np.linalg.solve(gram, self.arrays["moments"])
        return found

    def _rate(self, count: int) -> float:
        """Return eta of a gene with a number of choices."""
        if self._eta or count == 1:
            return self._eta
        if self._rounds is None:
            return math.sqrt(math.log(count) / ((1 + int(self.arrays["rounds"][0])) * count))
        return math.sqrt(2 * math.log(count) / (self._rounds * count))


def drawn_choices(probabilities: Sequence[np.ndarray], rng: np.random.Generator) -> Genome:
    """Return a raw genome with independent genes.

    Args:
        probabilities: Probabilities of the choices of each gene, (genes,) arrays of (choices,).
        rng: Source of randomness.
    """
    found = []
    for one, at in zip(probabilities, rng.random(len(probabilities)).tolist(), strict=True):
        sums = np.cumsum(one)
        found.append(min(int(np.searchsorted(sums, at * sums[-1], "right")), len(one) - 1))
    return tuple(found)


def _zipf(losses: np.ndarray) -> np.ndarray:
    """Return probabilities in proportion to 1/rank, the least loss first; equal losses share theirs, (choices,)."""
    shares = 1 / np.arange(1, len(losses) + 1)
    found = np.empty(len(losses))
    found[np.argsort(losses, kind="stable")] = shares / shares.sum()
    _, groups = np.unique(losses, return_inverse=True)
    return (np.bincount(groups, found) / np.bincount(groups))[groups]


__all__ = ["ChoiceBandit", "drawn_choices"]

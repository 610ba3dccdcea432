"""Choice of the set of metrics whose log rank orders networks with known results best, for perf/evidence_choice.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import chain, combinations

import numpy as np

from nasctl.analysis.aggregate import ranks
from nasctl.analysis.labelled_networks import LabelledNetworks
from nasctl.analysis.rank_correlation import spearman

MOST = 3  # metrics of a set
GAIN = 0.01  # mean Spearman's rho that a larger set has to gain over a smaller one

MetricSet = tuple[str, ...]


class RankedNetworks(LabelledNetworks):
    """Networks with known results, and the log ranks of their metrics."""

    @cached_property
    def _logarithms(self) -> dict[str, np.ndarray]:
        """The logarithm of rank / N by metric, (N,)."""
        return {name: np.log(ranks(values)) for name, values in self.values.items()}

    def correlations(self, sets: Sequence[MetricSet]) -> np.ndarray:
        """Return Spearman's rho between the log rank of each set and the truth, (S,); NaN where all scores are equal.

        References:
            Lee & Ham, "AZ-NAS", CVPR 2024, arXiv:2403.19232, for the log rank; see `nasctl.analysis.aggregate`.
        """
        scores = np.stack([np.sum([self._logarithms[name] for name in one], axis=0) for one in sets])
        # Sums of logarithms in another order differ in the last digit, which must not break ties.
        return spearman(np.round(scores, 9), np.round(self.truth, 9))


def mean_over_spaces(spaces: Mapping[str, Sequence[RankedNetworks]], sets: Sequence[MetricSet]) -> np.ndarray:
    """Return the mean rho of each set: over the results of a space, then over spaces, (S,).

    Args:
        spaces: Networks by space, one item for each kind of result.
        sets: Sets of metrics.
    """
    means = [np.mean([one.correlations(sets) for one in results], axis=0) for results in spaces.values()]
    return np.asarray(np.mean(means, axis=0))


def rank_sets(
    spaces: Mapping[str, Sequence[RankedNetworks]], candidates: Sequence[str], most: int = MOST
) -> list[tuple[MetricSet, float]]:
    """Return every set of up to `most` metrics with its mean rho over spaces, the best first.

    Args:
        spaces: Networks by space, one item for each kind of result.
        candidates: Metrics.
        most: Largest number of metrics of a set.
    """
    sets = list(chain.from_iterable(combinations(candidates, size) for size in range(1, most + 1)))
    found = mean_over_spaces(spaces, sets)
    return sorted(zip(sets, found.tolist(), strict=True), key=lambda pair: -np.nan_to_num(pair[1], nan=-2))


def choose_set(
    spaces: Mapping[str, Sequence[RankedNetworks]], candidates: Sequence[str], most: int = MOST
) -> MetricSet:
    """Return the smallest set whose mean rho is within `GAIN` of the best one; of sets of one size, the best.

    Args:
        spaces: Networks by space, one item for each kind of result.
        candidates: Metrics, at least one.
        most: Largest number of metrics of a set.
    """
    ranked = rank_sets(spaces, candidates, most)
    near = [one for one, rho in ranked if rho >= ranked[0][1] - GAIN]
    return min(near or [ranked[0][0]], key=len)


def ordering_metrics(spaces: Mapping[str, Sequence[RankedNetworks]], candidates: Sequence[str]) -> list[str]:
    """Return the metrics that every space has and that order each of them in the right direction, the best first.

    A metric is left out if it failed for half of the networks of a space or more, or if its mean rho there is not
    above 0.

    Args:
        spaces: Networks by space, one item for each kind of result.
        candidates: Metrics.
    """
    found = {}
    for name in candidates:
        results = [one for parts in spaces.values() for one in parts]
        if not all(name in one.values and np.isfinite(one.values[name]).mean() > 0.5 for one in results):
            continue
        means = [np.mean([one.correlations([(name,)])[0] for one in parts]) for parts in spaces.values()]
        if all(mean > 0 for mean in means):
            found[name] = float(np.mean(means))
    return sorted(found, key=lambda name: -found[name])

"""Aggregation of several metrics into one score, by ranks within a set of candidates.

Values of a metric are (N,), higher is better (see `orient`), and not finite where the metric failed. A failed candidate
ranks worst. A score compares the candidates of one set. Another set gives other numbers, so a score is recomputed for
each display and never stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from nasctl.errors import BadOption, UnknownName
from nasctl.problem.searcher import Direction

CELLS = 1 << 22  # pairs of candidates that `vote` compares at once; bounds its memory to some 50 MB


def orient(values: np.ndarray, direction: Direction) -> np.ndarray:
    """Return values, (N,), in which higher is better."""
    return values if direction == "max" else -values


def ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks divided by N, (N,): above 0 for the worst value, 1 for the best. Ties share their mean rank."""
    known: np.ndarray = rankdata(np.where(np.isfinite(values), values, -np.inf))
    return known / max(1, len(values))


def log_rank(scores: np.ndarray) -> np.ndarray:
    """Return the sum over metrics of log(rank / N). One bad rank lowers a candidate far, whatever its other ranks are.

    References:
        Lee & Ham, "AZ-NAS: Assembling zero-cost proxies for network architecture search", CVPR 2024, arXiv:2403.19232,
        non-linear ranking aggregation. AZ-NAS ranks all candidates seen so far in a search by its own four metrics.
        This function ranks the given candidates by the given metrics.

    Args:
        scores: Values of the metrics, (K, N).

    Returns:
        Scores, (N,); 0 for a candidate that is best in all metrics.
    """
    return np.asarray(np.log([ranks(row) for row in scores]).sum(axis=0))


def mean_rank(scores: np.ndarray) -> np.ndarray:
    """Return the mean over metrics of rank / N.

    Args:
        scores: Values of the metrics, (K, N).

    Returns:
        Scores, (N,), above 0 and at most 1.
    """
    return np.asarray(np.mean([ranks(row) for row in scores], axis=0))


def vote(scores: np.ndarray) -> np.ndarray:
    """Return the share of the other candidates that a candidate beats in a majority vote of the metrics.

    A draw counts one half. A metric that finds two candidates equal has no vote.

    References:
        Abdelfattah et al., "Zero-cost proxies for lightweight NAS", ICLR 2021, arXiv:2101.08134, "vote": of two
        candidates, the candidate that more metrics prefer wins. These wins alone need not be an order (a beats b, b
        beats c, c beats a). The share of wins, Copeland's rule, is an order. With two metrics it is the order of
        `mean_rank`, except for ties.

    Args:
        scores: Values of the metrics, (K, N).

    Returns:
        Scores, (N,), 0 to 1.
    """
    count = scores.shape[1]
    places = np.array([rankdata(row, method="dense") for row in map(ranks, scores)], dtype=np.int32)
    lead = np.empty(count)  # wins minus losses
    step = max(1, CELLS // max(1, count))
    for start in range(0, count, step):
        margin = np.zeros((min(step, count - start), count), dtype=np.int16)
        for place in places:
            margin += np.sign(place[start : start + step, None] - place).astype(np.int16)
        lead[start : start + step] = np.sign(margin).sum(axis=1)
    return np.asarray((1 + lead / max(1, count - 1)) / 2)


METHODS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {"log_rank": log_rank, "mean_rank": mean_rank, "vote": vote}


@dataclass(frozen=True)
class Score:
    """An aggregation of metrics. Its text, such as "log_rank(synflow, jacov)", is the name of its column.

    Args:
        method: Name in `METHODS`.
        metrics: Names of the metrics.
    """

    method: str
    metrics: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.method}({', '.join(self.metrics)})"

    @classmethod
    def parse(cls, text: str, known: Sequence[str]) -> Score:
        """Parse an aggregation as it is typed, such as "log_rank:synflow+jacov".

        Args:
            text: The method, ":", and the metrics separated by "+".
            known: Names of the metrics that are measured.

        Raises:
            UnknownName: There is no such method or metric.
            BadOption: The text has another form, or names a metric twice.
        """
        method, _, rest = text.partition(":")
        metrics = tuple(rest.split("+"))
        if not all(metrics) or len(set(metrics)) < len(metrics):
            raise BadOption(f"{text!r} is no score; name each metric once, as in log_rank:synflow+jacov")
        method = method.replace("-", "_")
        if method not in METHODS:
            raise UnknownName("aggregation", method, list(METHODS))
        for metric in metrics:
            if metric not in known:
                raise UnknownName("metric here", metric, known)
        return cls(method, metrics)

    def of(self, scores: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the score of each candidate, (N,), higher is better.

        Args:
            scores: Values of each metric by name, (N,), higher is better.
        """
        return METHODS[self.method](np.stack([scores[metric] for metric in self.metrics]))

"""One score from several metrics, by their ranks within a set of candidates.

A metric's values are (N,), higher is better (`orient`), not finite where it failed; a failed candidate ranks worst.
Every score made here is good for comparing the candidates of one set: another set gives other numbers, so it is made
anew when it is shown, and never stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from nasctl.errors import BadOption, UnknownName
from nasctl.problem.searcher import Direction

CELLS = 1 << 22  # pairs of candidates that `vote` compares at once, which bounds its memory to some 50 MB


def orient(values: np.ndarray, direction: Direction) -> np.ndarray:
    """Values, (N,), with the better ones higher."""
    return values if direction == "max" else -values


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks of (N,) values as a share of N: above 0 for the worst, 1 for the best; equal values share their mean."""
    known: np.ndarray = rankdata(np.where(np.isfinite(values), values, -np.inf))
    return known / max(1, len(values))


def log_rank(scores: np.ndarray) -> np.ndarray:
    """The sum over metrics of log(rank / N): one bad rank sinks a candidate, whatever its others are.

    References:
        Lee & Ham, "AZ-NAS: Assembling zero-cost proxies for network architecture search", CVPR 2024, arXiv:2403.19232,
        its non-linear ranking aggregation. Theirs ranks all candidates seen so far in a search, over its own four
        metrics; this one ranks the candidates, and takes the metrics, that it is given.

    Args:
        scores: (K, N), a row for each metric.

    Returns:
        (N,), 0 for a candidate that is best in all.
    """
    return np.asarray(np.log([ranks(row) for row in scores]).sum(axis=0))


def mean_rank(scores: np.ndarray) -> np.ndarray:
    """The mean over metrics of rank / N.

    Args:
        scores: (K, N), a row for each metric.

    Returns:
        (N,), above 0 to 1.
    """
    return np.asarray(np.mean([ranks(row) for row in scores], axis=0))


def vote(scores: np.ndarray) -> np.ndarray:
    """The share of the other candidates that a candidate beats in a vote of the metrics, a draw counting one half.

    References:
        Abdelfattah et al., "Zero-cost proxies for lightweight NAS", ICLR 2021, arXiv:2101.08134, its "vote": of two
        candidates the one wins that more metrics prefer. Theirs says only which of two wins, which need not be an
        order (a beats b, b beats c, c beats a); the share of wins, Copeland's rule, makes one of it. A metric that
        finds two equal has no vote. With two metrics it is the order of `mean_rank`, but for ties.

    Args:
        scores: (K, N), a row for each metric.

    Returns:
        (N,), 0 to 1.
    """
    count = scores.shape[1]
    places = np.array([rankdata(row, method="dense") for row in map(ranks, scores)], dtype=np.int32)
    lead = np.empty(count)  # wins less losses
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
    """Which metrics make a score, and how; its text, such as "log_rank(synflow, jacov)", is what a column is called.

    Args:
        method: A name in `METHODS`.
        metrics: Names of metrics.
    """

    method: str
    metrics: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.method}({', '.join(self.metrics)})"

    @classmethod
    def parse(cls, text: str, known: Sequence[str]) -> Score:
        """Read what a person types, such as "log_rank:synflow+jacov".

        Args:
            text: The method, ":", and the metrics with "+" between them.
            known: The metrics that there are.

        Raises:
            UnknownName: There is no such method or metric.
            BadOption: The text is something else, or names a metric twice.
        """
        method, _, rest = text.partition(":")
        metrics = tuple(rest.split("+"))
        if not all(metrics) or len(set(metrics)) < len(metrics):
            raise BadOption(f"{text!r} is no score; name metrics once each, as in log_rank:synflow+jacov")
        method = method.replace("-", "_")
        if method not in METHODS:
            raise UnknownName("aggregation", method, list(METHODS))
        for metric in metrics:
            if metric not in known:
                raise UnknownName("metric here", metric, known)
        return cls(method, metrics)

    def of(self, scores: Mapping[str, np.ndarray]) -> np.ndarray:
        """The score of each candidate, (N,), higher is better.

        Args:
            scores: Values of each metric, (N,), higher is better.
        """
        return METHODS[self.method](np.stack([scores[metric] for metric in self.metrics]))

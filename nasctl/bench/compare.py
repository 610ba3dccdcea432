"""Several searchers on one benchmark: their indicators, and tests of whether one is better than another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
from scipy.stats import mannwhitneyu

from nasctl.bench.benchmark import Benchmark, Scene
from nasctl.bench.problem import BenchmarkProblem
from nasctl.bench.replay import Indicators, Replay, exhaustive_front, indicators, replay

BASELINE = "random"  # searcher that is in every comparison
INDICATORS = {"hv": 1, "igd_plus": -1, "igd": -1}  # tested indicators; 1 if larger is better, -1 if smaller is better
LEVEL = 0.05  # significance level


@dataclass(frozen=True, slots=True)
class PairTest:
    """The comparison of two searchers in one indicator of one scene.

    Args:
        p: p value of the two-sided rank-sum test, adjusted by Holm's method over all pairs in the scene and indicator.
        d: Cohen's d, above 0 where the first searcher is better.
    """

    scene: str
    indicator: str
    first: str
    second: str
    p: float
    d: float

    @property
    def better(self) -> str | None:
        """Return the searcher that is significantly better, or None."""
        return None if self.p > LEVEL else self.first if self.d > 0 else self.second


@dataclass(frozen=True)
class SearcherComparison:
    """The results of several searchers.

    Args:
        scenes: Scenes that judge, by name.
        runs: Replays of each searcher, one per seed.
        ceiling: Rows of the exhaustive front of the objectives.
    """

    scenes: Mapping[str, Scene]
    runs: Mapping[str, Sequence[Replay]]
    ceiling: np.ndarray

    @cached_property
    def final(self) -> dict[str, dict[str, list[Indicators]]]:
        """Return the indicators of the whole archives at the end, by scene and searcher, one per seed."""
        return self._judge(lambda run: run.archives[-1])

    @cached_property
    def subset(self) -> dict[str, dict[str, list[Indicators]]]:
        """Return the indicators of a few members of each archive, by scene and searcher, one per seed."""
        return self._judge(lambda run: run.subset)

    @cached_property
    def best(self) -> dict[str, Indicators]:
        """Return the indicators of the exhaustive front of the objectives, by scene."""
        return {name: indicators(scene, self.ceiling) for name, scene in self.scenes.items()}

    def found(self, searcher: str) -> float:
        """Return the share of the exhaustive front that a searcher's archives contain at the end, mean over seeds."""
        front = set(self.ceiling.tolist())
        shares = [len(front.intersection(run.archives[-1].tolist())) / len(front) for run in self.runs[searcher]]
        return float(np.mean(shares))

    def curves(self, searcher: str, scene: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Return numbers of evaluations, (T,), and the indicators there by name, (seeds, T).

        A run that ended early keeps its last indicators.
        """
        runs = self.runs[searcher]
        points = max((run.checkpoints for run in runs), key=lambda checkpoints: (checkpoints[-1], len(checkpoints)))
        rows = []
        for run in runs:
            seen = [asdict(indicators(self.scenes[scene], archive)) for archive in run.archives]
            at = np.maximum(np.searchsorted(run.checkpoints, points, side="right") - 1, 0)
            rows.append([[seen[k][name] for k in at] for name in INDICATORS])
        cube = np.array(rows)  # (seeds, indicators, T)
        return np.array(points), {name: cube[:, k] for k, name in enumerate(INDICATORS)}

    def tests(self) -> list[PairTest]:
        """Return the tests of every pair of searchers in every scene and indicator."""
        found = []
        for scene, by_searcher in self.final.items():
            for indicator, sign in INDICATORS.items():
                values = {
                    name: sign * np.array([asdict(one)[indicator] for one in judged])
                    for name, judged in by_searcher.items()
                }
                found += pair_tests(scene, indicator, values)
        return found

    def figures(self) -> dict[str, Any]:
        """Return the whole comparison as JSON has it."""
        return {
            "scenes": {
                scene: {
                    "true_front": {"points": len(about.front), "hv": about.ceiling},
                    "exhaustive": {"architectures": len(self.ceiling), **asdict(self.best[scene])},
                    "searchers": {
                        name: {
                            "final": [asdict(one) for one in judged],
                            "few": [asdict(one) for one in self.subset[scene][name]],
                        }
                        for name, judged in self.final[scene].items()
                    },
                }
                for scene, about in self.scenes.items()
            },
            "runs": {
                name: [
                    {
                        "evaluations": len(run.places),
                        "distinct": run.distinct,
                        "archive": len(run.archives[-1]),
                        "seconds": run.seconds,
                    }
                    for run in runs
                ]
                for name, runs in self.runs.items()
            },
            "found": {name: self.found(name) for name in self.runs},
            "tests": [asdict(one) for one in self.tests()],
        }

    def _judge(self, members: Callable[[Replay], np.ndarray]) -> dict[str, dict[str, list[Indicators]]]:
        """Return the indicators of some members of each run, by scene and searcher."""
        return {
            name: {searcher: [indicators(scene, members(run)) for run in runs] for searcher, runs in self.runs.items()}
            for name, scene in self.scenes.items()
        }


def replay_searchers(
    benchmark: Benchmark, objectives: Sequence[str], searchers: Sequence[str], seeds: int, evaluations: int
) -> Iterator[tuple[str, Replay]]:
    """Yield a replay of every searcher with every seed, from 0."""
    problem = BenchmarkProblem(benchmark, objectives)
    for searcher in searchers:
        for seed in range(seeds):
            yield searcher, replay(problem, searcher, seed, evaluations)


def compare_searchers(
    benchmark: Benchmark, objectives: Sequence[str], found: Sequence[tuple[str, Replay]]
) -> SearcherComparison:
    """Return the comparison of the replays that `replay_searchers` yields."""
    runs: dict[str, list[Replay]] = {}
    for searcher, run in found:
        runs.setdefault(searcher, []).append(run)
    return SearcherComparison(benchmark.scenes, runs, exhaustive_front(BenchmarkProblem(benchmark, objectives)))


def pair_tests(scene: str, indicator: str, values: Mapping[str, np.ndarray]) -> list[PairTest]:
    """Return the tests of every pair of competitors in one indicator, by Holm's method over the pairs.

    Args:
        scene: Name of the scene.
        indicator: Name of the indicator.
        values: The indicator of each competitor, one value per seed, (S,); larger is better.
    """
    pairs = list(combinations(values, 2))
    levels = holm_adjusted([rank_sum(values[a], values[b]) for a, b in pairs])
    return [
        PairTest(scene, indicator, a, b, p, cohens_d(values[a], values[b]))
        for (a, b), p in zip(pairs, levels, strict=True)
    ]


def rank_sum(first: np.ndarray, second: np.ndarray) -> float:
    """Return the two-sided p value of the rank-sum test of two independent samples.

    The test does not pair runs by their seed. Two searchers use the numbers of a seed in different ways, so their runs
    have at most their first random genomes in common.

    References:
        Mann & Whitney, "On a test of whether one of two random variables is stochastically larger than the other",
        Annals of Mathematical Statistics 18 (1947) 50-60.

    Args:
        first: Indicator of one searcher, one value per run.
        second: Indicator of the other searcher, one value per run.
    """
    return float(mannwhitneyu(first, second).pvalue)


def holm_adjusted(levels: Sequence[float]) -> list[float]:
    """Return p values adjusted for the number of tests.

    References:
        Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6 (1979).
    """
    order = np.argsort(levels)
    stepped = np.array(levels)[order] * np.arange(len(levels), 0, -1)
    adjusted = np.empty(len(levels))
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return [float(level) for level in adjusted]


def cohens_d(first: np.ndarray, second: np.ndarray) -> float:
    """Return the difference of the means divided by the pooled standard deviation, or 0 where nothing varies."""
    pooled = np.sqrt((first.var(ddof=1) + second.var(ddof=1)) / 2) if len(first) > 1 else 0.0
    return float((first.mean() - second.mean()) / pooled) if pooled > 0 else 0.0

"""Several searchers on one benchmark: how they did, and whether one did better than another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
from scipy.stats import mannwhitneyu

from nasctl.bench.benchmark import Benchmark, Scene
from nasctl.bench.problem import Posed
from nasctl.bench.replay import Replay, Worth, exhaustive, replay, worth

BASELINE = "random"  # is in every comparison
INDICATORS = {"hv": 1, "igd_plus": -1, "igd": -1}  # that are tested, and the sign of a better one
LEVEL = 0.05  # of significance
LARGE = 0.8  # Cohen's d


@dataclass(frozen=True, slots=True)
class Test:
    """Two searchers in one indicator of one scene.

    Args:
        p: Two-sided rank-sum test, by Holm's method over all pairs of the scene and the indicator.
        d: Cohen's d, above 0 where the first is better.
    """

    scene: str
    indicator: str
    first: str
    second: str
    p: float
    d: float

    @property
    def better(self) -> str | None:
        """Which of them is, if that is no accident."""
        return None if self.p > LEVEL else self.first if self.d > 0 else self.second


@dataclass(frozen=True)
class SearcherComparison:
    """What searchers found, by what a person called them.

    Args:
        scenes: That judge.
        runs: By searcher, one for each seed.
        ceiling: Places of the exhaustive front of the objectives.
    """

    scenes: Mapping[str, Scene]
    runs: Mapping[str, Sequence[Replay]]
    ceiling: np.ndarray

    @cached_property
    def final(self) -> dict[str, dict[str, list[Worth]]]:
        """Of the whole archives at the end, by scene, by searcher."""
        return self._worths(lambda run: run.archives[-1])

    @cached_property
    def few(self) -> dict[str, dict[str, list[Worth]]]:
        """Of some members alone, likewise."""
        return self._worths(lambda run: run.few)

    @cached_property
    def best(self) -> dict[str, Worth]:
        """Of the exhaustive front of the objectives, by scene."""
        return {name: worth(scene, self.ceiling) for name, scene in self.scenes.items()}

    def found(self, searcher: str) -> float:
        """Share of the exhaustive front that its archives have at the end, mean over seeds."""
        front = set(self.ceiling.tolist())
        shares = [len(front.intersection(run.archives[-1].tolist())) / len(front) for run in self.runs[searcher]]
        return float(np.mean(shares))

    def curves(self, searcher: str, scene: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Evaluations, (T,), and the indicators there over seeds, (seeds, T) each; a run that ended early stays."""
        runs = self.runs[searcher]
        points = max((run.checkpoints for run in runs), key=lambda found: (found[-1], len(found)))
        rows = []
        for run in runs:
            seen = [worth(self.scenes[scene], archive) for archive in run.archives]
            at = np.maximum(np.searchsorted(run.checkpoints, points, side="right") - 1, 0)
            rows.append([[getattr(seen[k], name) for k in at] for name in INDICATORS])
        cube = np.array(rows)  # (seeds, indicators, T)
        return np.array(points), {name: cube[:, k] for k, name in enumerate(INDICATORS)}

    def tests(self) -> list[Test]:
        """Every pair of searchers in every scene and indicator."""
        found = []
        for scene, by_searcher in self.final.items():
            for indicator, sign in INDICATORS.items():
                pairs = list(combinations(by_searcher, 2))
                values = {
                    name: sign * np.array([getattr(one, indicator) for one in worths])
                    for name, worths in by_searcher.items()
                }
                levels = holm([rank_sum(values[a], values[b]) for a, b in pairs])
                found += [
                    Test(scene, indicator, a, b, p, cohen(values[a], values[b]))
                    for (a, b), p in zip(pairs, levels, strict=True)
                ]
        return found

    def figures(self) -> dict[str, Any]:
        """All of it as numbers, for programs."""
        return {
            "scenes": {
                scene: {
                    "true_front": {"points": len(about.front), "hv": about.ceiling},
                    "exhaustive": {"architectures": len(self.ceiling), **asdict(self.best[scene])},
                    "searchers": {
                        name: {
                            "final": [asdict(one) for one in worths],
                            "few": [asdict(one) for one in self.few[scene][name]],
                        }
                        for name, worths in self.final[scene].items()
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

    def _worths(self, which: Any) -> dict[str, dict[str, list[Worth]]]:
        return {
            name: {searcher: [worth(scene, which(run)) for run in runs] for searcher, runs in self.runs.items()}
            for name, scene in self.scenes.items()
        }


def replays(
    benchmark: Benchmark, objectives: Sequence[str], searchers: Sequence[str], seeds: int, evaluations: int
) -> Iterator[tuple[str, Replay]]:
    """Every searcher with every seed, from 0."""
    problem = Posed(benchmark, objectives)
    for searcher in searchers:
        for seed in range(seeds):
            yield searcher, replay(problem, searcher, seed, evaluations)


def compared(
    benchmark: Benchmark, objectives: Sequence[str], found: Sequence[tuple[str, Replay]]
) -> SearcherComparison:
    """The comparison of what `replays` found."""
    runs: dict[str, list[Replay]] = {}
    for searcher, run in found:
        runs.setdefault(searcher, []).append(run)
    return SearcherComparison(benchmark.scenes, runs, exhaustive(Posed(benchmark, objectives)))


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


def holm(levels: Sequence[float]) -> list[float]:
    """Probabilities made good for how many there are.

    References:
        Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6 (1979).
    """
    order = np.argsort(levels)
    stepped = np.array(levels)[order] * np.arange(len(levels), 0, -1)
    found = np.empty(len(levels))
    found[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return [float(level) for level in found]


def cohen(one: np.ndarray, other: np.ndarray) -> float:
    """Difference of the means over the pooled standard deviation; 0 where nothing varies."""
    pooled = np.sqrt((one.var(ddof=1) + other.var(ddof=1)) / 2) if len(one) > 1 else 0.0
    return float((one.mean() - other.mean()) / pooled) if pooled > 0 else 0.0

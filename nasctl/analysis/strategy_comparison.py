"""Networks that strategies of supernets have chosen beside those of random search, judged by a table of trainings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from scipy.stats import ttest_rel

from nasctl.bench.benchmark import Benchmark, Scene, TrainingTable
from nasctl.bench.compare import PairTest, cohens_d, holm_adjusted, rank_sum
from nasctl.problem.space import Genome

DRAWS = 1000  # runs of random search among trained networks, which cost only look-ups

INDICATOR = "accuracy"  # of the chosen network, the only indicator


@dataclass(frozen=True)
class Policy:
    """A way to choose one network, with its choices.

    Args:
        name: The name that tables show.
        cost: Its cost in trainings of one network; NaN if it trains none.
        choices: The chosen networks as rows of the benchmark by scene, one per seed or run, (S,).
        genomes: The chosen canonical genomes, one per seed, where each scene has the same.
        against: Names of the policies that it is tested against.
        paired: Names of those among them with the same weights at the same seed.
        learned: Whether learned choices have a part in it. Uniform draws that are judged with shared weights have none.
        rival: Name of the policy among `against` that is random search among trained networks; "" for none.
    """

    name: str
    cost: float
    choices: Mapping[str, np.ndarray]
    genomes: tuple[Genome, ...] = ()
    against: tuple[str, ...] = ()
    paired: frozenset[str] = field(default_factory=frozenset)
    learned: bool = False
    rival: str = ""


@dataclass(frozen=True)
class StrategyComparison:
    """The accuracies of chosen networks.

    Args:
        scenes: Scenes that judge, by name.
        policies: The policies, in the order of tables.
        seeds: Number of seeds.
        equal_cost: Whether random search among trained networks costs as much as the policies that it is the rival of.
    """

    scenes: Mapping[str, Scene]
    policies: Sequence[Policy]
    seeds: int
    equal_cost: bool = True

    def accuracies(self, policy: Policy, scene: str) -> np.ndarray:
        """Return the accuracies of the networks that a policy has chosen, one per seed or run, (S,)."""
        found: np.ndarray = self.scenes[scene].accuracy[policy.choices[scene]]
        return found

    def standard_error(self, policy: Policy, scene: str) -> float:
        """Return the standard error of a mean over as many runs as there are seeds; NaN for a single one."""
        values = self.accuracies(policy, scene)
        if len(values) < 2:
            return float("nan")
        return float(np.std(values, ddof=1) / np.sqrt(min(len(values), self.seeds)))

    def tests(self) -> list[PairTest]:
        """Return the tests of each policy against those that it names, by Holm's method over the pairs of a scene.

        Policies with the same weights at the same seed are compared by Student's paired test, others by the rank-sum
        test. Without variation, or with fewer than three seeds, a paired test says nothing, nor does the
        rank-sum test with a single one, and p is 1.
        """
        by_name, found = {one.name: one for one in self.policies}, []
        pairs = [(one, by_name[other]) for one in self.policies for other in one.against]
        for scene in self.scenes:
            values = [(self.accuracies(one, scene), self.accuracies(other, scene)) for one, other in pairs]
            levels = [
                paired_p(a, b) if other.name in one.paired else rank_sum(a, b) if len(a) > 1 else 1.0
                for (one, other), (a, b) in zip(pairs, values, strict=True)
            ]
            found += [
                PairTest(scene, INDICATOR, one.name, other.name, p, cohens_d(a, b) if len(a) > 1 else 0.0)
                for (one, other), (a, b), p in zip(pairs, values, holm_adjusted(levels), strict=True)
            ]
        return found

    def verdict(self) -> list[str]:
        """Return sentences on the pairs that differ beyond noise, on what learned choices beat, and on all others."""
        tests, won = self.tests(), dict[tuple[str, str], list[str]]()
        for one in tests:
            if (better := one.better) is not None:
                worse = one.second if better == one.first else one.first
                won.setdefault((better, worse), []).append(one.scene)
        said = [f"{better} beats {worse} on {', '.join(scenes)}" for (better, worse), scenes in won.items()]
        said += self._unbeaten(won)
        if sum(map(len, won.values())) < len(tests):
            said.append(f"all {'other ' if won else ''}differences are within noise")
        return said

    def _unbeaten(self, won: Mapping[tuple[str, str], Sequence[str]]) -> list[str]:
        """Return sentences on the random search that no learned choice beats.

        A learned choice that beats a single random network has not beaten random search, and random draws with shared
        weights that beat trained networks have learned nothing.

        Args:
            won: Scenes of each pair of a better and a worse policy.
        """
        learned = [one for one in self.policies if one.learned]
        if not learned:
            return ["no network was chosen by learned choices"]
        costly = [(one.name, one.rival) for one in learned if one.rival]
        weights = [(one.name, other) for one in learned for other in sorted(one.paired)]
        rivals = ", ".join(dict.fromkeys(rival for _, rival in costly))
        equal = " at equal cost" if self.equal_cost else ""
        return [
            *self._sentences(costly, won, f"random search among trained networks{equal} ({rivals})"),
            *self._sentences(weights, won, "random draws with the same weights"),
        ]

    def _sentences(
        self, pairs: Sequence[tuple[str, str]], won: Mapping[tuple[str, str], Sequence[str]], what: str
    ) -> list[str]:
        """Return a sentence on the scenes in which no pair is won; none where each scene has one that is."""
        if not pairs:
            return [f"no learned choice was tested against {what.partition(' (')[0]}"]
        beaten = {scene for pair in pairs for scene in won.get(pair, ())}
        left = [scene for scene in self.scenes if scene not in beaten]
        where = f" on {', '.join(left)}" if beaten else ""
        return [f"no learned choice beats {what} beyond noise{where}"] if left else []

    def figures(self) -> dict[str, Any]:
        """Return the whole comparison as JSON has it. The many runs of random search have a mean and a deviation."""
        return {
            "policies": [
                {
                    "name": one.name,
                    "trainings": None if np.isnan(one.cost) else one.cost,
                    "genomes": [list(genome) for genome in one.genomes],
                    "scenes": {scene: self._about(one, scene) for scene in self.scenes},
                }
                for one in self.policies
            ],
            "tests": [asdict(one) for one in self.tests()],
            "verdict": self.verdict(),
        }

    def _about(self, policy: Policy, scene: str) -> dict[str, Any]:
        values = self.accuracies(policy, scene)
        own = {"accuracies": values.tolist()} if len(values) <= self.seeds else {"runs": len(values)}
        error = self.standard_error(policy, scene)
        return {"mean": float(values.mean()), "standard_error": None if np.isnan(error) else error, **own}


def paired_p(first: np.ndarray, second: np.ndarray) -> float:
    """Return the two-sided p value of Student's paired test; 1 for fewer than three pairs, or equal differences."""
    differences = first - second
    if len(differences) < 3 or np.ptp(differences) == 0:
        return 1.0
    return float(ttest_rel(first, second).pvalue)


def random_trainings(
    benchmark: Benchmark, tables: Mapping[str, TrainingTable], number: int, cost: float, name: str
) -> Policy:
    """Return random search among trained networks: the best by the table's label of `number` uniform draws.

    Args:
        benchmark: The benchmark.
        tables: Its trainings by data set or task, whose labels choose and whose test results judge.
        number: Networks that are trained in a run.
        cost: The cost that tables show.
        name: The name of the policy.
    """
    rng, counts = np.random.default_rng(0), [len(gene.choices) for gene in benchmark.space.genes]
    place = {genome: row for row, genome in enumerate(benchmark.genomes)}
    drawn = rng.integers(counts, size=(DRAWS * number, len(counts))).tolist()
    rows = np.array([place[benchmark.space.canonical(tuple(one))] for one in drawn]).reshape(DRAWS, number)
    best = {scene: table.labels[rows].argmax(axis=1) for scene, table in tables.items()}
    return Policy(name, cost, {scene: rows[np.arange(DRAWS), at] for scene, at in best.items()})


__all__ = ["DRAWS", "INDICATOR", "Policy", "StrategyComparison", "paired_p", "random_trainings"]

"""Policies that choose networks to train: python perf/trainings.py [--seeds 10] [--trainings 16 32 64].

Every policy trains the same number of networks, which are looked up in a table. Only the trained networks are judged,
by their test results. Each cell has the mean and the standard deviation over the seeds. A policy is marked with * where
`fitted` differs from it beyond noise (two-sided rank-sum test over the seeds, Holm's method over all pairs, p <= .05).

--rules compares the rules by which `fitted` chooses, and --misled its versions where metrics mislead: as they are, with
their signs reversed, and as noisy copies of the cost. Both are judged by the labels of the trained networks on the
benchmarks and data sets that the policy was developed on. The script needs NASCTL_DATA.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the command line sets the same value

import numpy as np

from nasctl import registry
from nasctl.bench.benchmark import TabulatedObjective, TrainingTable
from nasctl.bench.compare_trainings import TRAINED_INDICATORS, compare_trainings, replay_trainings
from nasctl.bench.replay_trainings import BASELINE, FITTED, TRAINING_FREE, TrainingReplayer, trained_indicators
from nasctl.prediction.acquisition import RULES
from nasctl.prediction.training_choice import VERSION

BENCHMARKS = ("nb201", "nbmacro", "tnb101_micro")
POLICIES = (FITTED, TRAINING_FREE, "predictor", "regularized_evolution", BASELINE)
# Benchmarks and data sets on which settings were chosen, by labels.
DEVELOPED_ON = (("nb201", "cifar10"), ("nbmacro", "cifar10"))
METRICS = ("true", "reversed", "cost")  # what --misled makes of the metrics
COST_NOISE = 0.1  # standard deviation of the noise of metrics that copy the cost, in ranges of the cost


class MisledBenchmark:
    """A benchmark whose metrics mislead a search.

    Args:
        benchmark: The benchmark.
        metrics: One of `METRICS`. Costs stay as they are.
        cost: Cost of each architecture, scaled to 0 to 1, (N,).
    """

    def __init__(self, benchmark: Any, metrics: str, cost: np.ndarray) -> None:
        self._benchmark, self._metrics, self._cost = benchmark, metrics, cost
        self.space, self.genomes, self.names = benchmark.space, benchmark.genomes, benchmark.names
        self.default_objectives, self.evaluations = benchmark.default_objectives, benchmark.evaluations
        self.scenes, self.source = benchmark.scenes, benchmark.source

    def column(self, name: str) -> TabulatedObjective:
        """Return a column by its name."""
        column = self._benchmark.column(name)
        if self._metrics == "true" or column.goal.cost != "module":
            return column
        noise = np.random.default_rng(self.names.index(name)).standard_normal(len(self._cost))
        losses = -column.losses if self._metrics == "reversed" else -(self._cost + COST_NOISE * noise)
        return TabulatedObjective(replace(column.goal, direction="min", transform="identity"), losses, column.seconds)


def policies(name: str, trainings: int, seeds: int) -> None:
    """Print a table of all policies on one benchmark."""
    benchmark = registry.create("benchmarks", name)
    replayer = TrainingReplayer(benchmark, benchmark.default_objectives, trainings, benchmark.evaluations)
    comparison = compare_trainings(
        benchmark.trainings, list(replay_trainings(replayer, benchmark.trainings, POLICIES, seeds))
    )
    differs = {
        (one.scene, one.second, one.indicator) for one in comparison.tests() if one.first == FITTED and one.better
    }
    for scene, by_policy in comparison.final.items():
        for policy, judged in by_policy.items():
            runs = comparison.runs[scene][policy]
            hours = np.mean([run.training_seconds for run in runs]) / 3600
            cells = [
                _mean([getattr(one, indicator) for one in judged], 4 if indicator == "hv" else 2)
                + (" *" if (scene, policy, indicator) in differs else "")
                for indicator in TRAINED_INDICATORS
            ]
            took = f"{hours:.1f} h" if np.isfinite(hours) else ""
            print(f"| {name} | {trainings} | {scene} | `{policy}` | {' | '.join(cells)} | {took} |", flush=True)


def by_labels(name: str, scene: str) -> tuple[Any, TrainingTable]:
    """Return a benchmark, and its trainings judged by their labels, so that test results stay unseen."""
    benchmark = registry.create("benchmarks", name)
    table = benchmark.trainings[scene]
    test = replace(table.test, error=1 - table.labels / 100, accuracy=table.labels)
    return benchmark, replace(table, test=test)


def row(heads: Sequence[object], replayer: TrainingReplayer, policy: str, table: TrainingTable, seeds: int) -> None:
    """Print a row of a table: best label and hypervolume by labels."""
    judged = [trained_indicators(table, replayer.run(policy, table, seed).places) for seed in range(seeds)]
    best, volume = [one.best for one in judged], [one.hv for one in judged]
    print(f"| {' | '.join(map(str, heads))} | {_mean(best, 2)} | {_mean(volume, 4)} |", flush=True)


def rules(seeds: int, trainings: int) -> None:
    """Print a table of the rules."""
    benchmark, table = by_labels(*DEVELOPED_ON[0])
    for rule in RULES:
        replayer = TrainingReplayer(benchmark, benchmark.default_objectives, trainings, benchmark.evaluations, rule)
        row([rule], replayer, FITTED, table, seeds)


def misled(seeds: int, trainings: int) -> None:
    """Print a table of random search and the versions of `fitted`, with metrics that mislead."""
    for name, scene in DEVELOPED_ON:
        benchmark, table = by_labels(name, scene)
        for metrics in METRICS:
            made = MisledBenchmark(benchmark, metrics, table.test.cost)
            for policy, version in ((BASELINE, VERSION), *((FITTED, one) for one in range(1, VERSION + 1))):
                replayer = TrainingReplayer(made, made.default_objectives, trainings, made.evaluations, version=version)
                shown = policy if policy == BASELINE else f"{policy}, version {version}"
                row([name, trainings, metrics, shown], replayer, policy, table, seeds)


def _mean(values: list[float], digits: int) -> str:
    deviation = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{deviation}"


def main() -> None:
    """Run the trainings and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trainings", type=int, nargs="+", default=[16, 32, 64])
    parser.add_argument("--benchmarks", nargs="+", default=BENCHMARKS)
    parser.add_argument("--rules", action="store_true")
    parser.add_argument("--misled", action="store_true")
    args = parser.parse_args()
    for wanted, table, heads in (
        (args.rules, rules, "rule"),
        (args.misled, misled, "benchmark | trainings | metrics | policy"),
    ):
        if wanted:
            print(f"| {heads} | best label | hypervolume by labels |\n|{' --- |' * (heads.count('|') + 3)}")
            for trainings in args.trainings:
                table(args.seeds, trainings)
            return
    heads = "benchmark | trainings | scene | policy | best test | test of the chosen | HV | trainings took"
    print(f"| {heads} |\n|{' --- |' * 8}")
    for name in args.benchmarks:
        for trainings in args.trainings:
            policies(name, trainings, args.seeds)


if __name__ == "__main__":
    main()

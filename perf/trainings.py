"""Policies that choose networks to train: python perf/trainings.py [--seeds 10] [--trainings 16 32 64] [--rules].

Every policy trains the same number of networks, which are looked up in a table. Only the trained networks are judged,
by their test results. Each cell has the mean and the standard deviation over the seeds. A policy is marked with * where
`fitted` differs from it beyond noise (two-sided rank-sum test over the seeds, Holm's method over all pairs, p <= .05).

--rules compares the rules by which `fitted` chooses, by the validation accuracy of the trained networks on the data set
of `nb201` that the policy was developed on. The script needs NASCTL_DATA.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the command line sets the same value

import numpy as np

from nasctl import registry
from nasctl.bench.compare_trainings import TRAINED_INDICATORS, compare_trainings, replay_trainings
from nasctl.bench.replay_trainings import BASELINE, FITTED, TRAINING_FREE, TrainingReplayer, trained_indicators
from nasctl.prediction.acquisition import RULES

BENCHMARKS = ("nb201", "nbmacro", "tnb101_micro")
POLICIES = (FITTED, TRAINING_FREE, "predictor", "regularized_evolution", BASELINE)
DEVELOPED_ON = ("nb201", "cifar10")  # benchmark and data set on which settings were chosen, by validation accuracies


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


def rules(seeds: int, trainings: int) -> None:
    """Print a table of the rules, judged by validation accuracy."""
    name, scene = DEVELOPED_ON
    benchmark = registry.create("benchmarks", name)
    table = benchmark.trainings[scene]
    test = replace(table.test, error=1 - table.labels / 100, accuracy=table.labels)
    judged_by_labels = replace(table, test=test)
    for rule in RULES:
        replayer = TrainingReplayer(benchmark, benchmark.default_objectives, trainings, benchmark.evaluations, rule)
        runs = [replayer.run(FITTED, judged_by_labels, seed) for seed in range(seeds)]
        judged = [trained_indicators(judged_by_labels, run.places) for run in runs]
        best, volume = [one.best for one in judged], [one.hv for one in judged]
        print(f"| {rule} | {_mean(best, 2)} | {_mean(volume, 4)} |", flush=True)


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
    args = parser.parse_args()
    if args.rules:
        print("| rule | best validation accuracy | hypervolume by validation accuracy |\n| --- | --- | --- |")
        for trainings in args.trainings:
            rules(args.seeds, trainings)
        return
    heads = "benchmark | trainings | scene | policy | best test | test of the chosen | HV | trainings took"
    print(f"| {heads} |\n|{' --- |' * 8}")
    for name in args.benchmarks:
        for trainings in args.trainings:
            policies(name, trainings, args.seeds)


if __name__ == "__main__":
    main()

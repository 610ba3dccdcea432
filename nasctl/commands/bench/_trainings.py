"""The part of `nasctl bench run` that compares policies of training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from nasctl.commands.bench._tables import HV, HV_SCALE, mean_and_deviation, print_tests, say_unbeaten
from nasctl.errors import NasctlError

if TYPE_CHECKING:
    from nasctl.bench.benchmark import Benchmark
    from nasctl.bench.compare_trainings import TrainingComparison

TRAINED_SEARCHERS = ("regularized_evolution", "predictor")  # searchers compared by default


def compare(
    name: str,
    benchmark: Benchmark,
    objectives: Sequence[str],
    searchers: Sequence[str],
    seeds: int,
    trainings: int,
    measurements: int,
    formats: tuple[bool, bool],
) -> None:
    """Replay trainings on a benchmark and print the comparison; `formats` are whether as CSV and whether as JSON.

    Raises:
        NasctlError: The benchmark has no trainings, or fewer architectures than trainings.
    """
    from nasctl import registry
    from nasctl.bench.benchmark import HasTrainings
    from nasctl.bench.compare_trainings import compare_trainings, replay_trainings
    from nasctl.bench.replay_trainings import BASELINE, FITTED, TRAINING_FREE, TrainingReplayer
    from nasctl.system.terminal import counted, plural, say

    if not isinstance(benchmark, HasTrainings):
        raise NasctlError(
            f"Cannot replay trainings on {name}: its table has no result of a training of every architecture."
            " Use nb201, nbmacro or tnb101_micro."
        )
    if max(trainings, 2) > (most := min(measurements, len(benchmark.genomes))):
        raise NasctlError(
            f"Cannot choose {trainings} trainings from {most} measured architectures: --evaluations is the number of"
            " architectures whose metrics are measured. Give more evaluations, or fewer trainings."
        )
    asked = [registry.normal("searchers", one) for one in registry.split(searchers) or TRAINED_SEARCHERS]
    policies = list(dict.fromkeys([FITTED, TRAINING_FREE, *asked, BASELINE]))
    tables = benchmark.trainings
    replayer = TrainingReplayer(benchmark, objectives, trainings, measurements)
    runs = counted(
        replay_trainings(replayer, tables, policies, seeds), len(tables) * len(policies) * seeds, "runs of trainings"
    )
    comparison = compare_trainings(tables, list(runs))
    as_csv, as_json = formats
    if as_json:
        about = {"benchmark": name, "objectives": list(objectives), "seeds": seeds}
        about |= {"trainings": trainings, "evaluations": measurements}
        click.echo(json.dumps({**about, **comparison.figures()}))
        return
    sizes = f"{plural(seeds, 'seed')} of {trainings} trainings; metrics of at most {measurements} architectures"
    say(f"{name}: {sizes}; training-free search of {', '.join(objectives)}")
    say(*dict.fromkeys(table.about for table in tables.values()))
    say(HV_SCALE)
    (_print_csv if as_csv else _print)(comparison)


def _print(comparison: TrainingComparison) -> None:
    """Print the indicators of each policy on each data set or task, and the tests of all pairs."""
    from nasctl.bench.compare_trainings import TRAINED_INDICATORS
    from nasctl.bench.replay_trainings import FITTED
    from nasctl.system.terminal import TableColumn, table

    columns = [
        TableColumn("scene", prose=True),
        TableColumn("policy", prose=True),
        TableColumn("trainings", priority=4),
        TableColumn("measured", priority=5),
        TableColumn("metrics took", priority=7),
        TableColumn("trainings took", priority=6),
        TableColumn("best test", priority=1),
        TableColumn("test of the chosen"),
        TableColumn(HV, priority=2),
    ]
    rows = [
        [
            scene,
            policy,
            *_costs(comparison, scene, policy),
            *(
                mean_and_deviation([getattr(one, indicator) for one in judged], 4 if indicator == "hv" else 2)
                for indicator in TRAINED_INDICATORS
            ),
        ]
        for scene, by_policy in comparison.final.items()
        for policy, judged in by_policy.items()
    ]
    table(columns, rows, title="trained networks", as_csv=False)
    click.echo()
    tests = comparison.tests()
    print_tests(tests, TRAINED_INDICATORS)
    say_unbeaten(one for one in tests if one.first == FITTED)


def _print_csv(comparison: TrainingComparison) -> None:
    """Print the costs and indicators of every run, with exact values."""
    from nasctl.system.terminal import table

    rows: list[list[object]] = []
    for scene, about in comparison.figures()["scenes"].items():
        for policy, runs in about["policies"].items():
            rows += [[scene, policy, seed, *run.values()] for seed, run in enumerate(runs)]
    heads = ["best test", "test of the chosen", HV, "trainings", "measured", "metrics (s)", "trainings (s)"]
    table(["scene", "policy", "seed", *heads], rows, as_csv=True)


def _costs(comparison: TrainingComparison, scene: str, policy: str) -> list[str]:
    """Return means over seeds: trainings, measured architectures, seconds of metrics and of trainings."""
    from statistics import fmean

    import numpy as np

    from nasctl.system.terminal import duration

    runs = comparison.runs[scene][policy]
    trainings, measured = (fmean(values) for values in ([len(r.places) for r in runs], [r.measured for r in runs]))
    metrics, seconds = fmean(r.metric_seconds for r in runs), fmean(r.training_seconds for r in runs)
    took = duration(seconds) if np.isfinite(seconds) else ""
    return [f"{trainings:.0f}", f"{measured:.0f}", duration(metrics) if metrics else "", took]

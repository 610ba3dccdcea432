"""The command `nasctl bench run`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nasctl.commands import csv_option, json_option, store_option
from nasctl.commands._groups import GroupedCommand
from nasctl.commands._training_options import recipe_group
from nasctl.commands._types import OutputPath, file_in
from nasctl.commands.bench._strategies import StrategyOptions, strategy_group
from nasctl.commands.bench._tables import HV, HV_SCALE, mean_and_deviation, print_tests, say_unbeaten
from nasctl.errors import NasctlError

if TYPE_CHECKING:
    from nasctl.bench.benchmark import Benchmark
    from nasctl.bench.compare import SearcherComparison
    from nasctl.bench.replay import Indicators
    from nasctl.training.request import RecipeOptions

SEARCHERS = ("mtf_pdns", "nsga2")  # compared by default
SEEDS = 30  # runs of each searcher by default


@click.command(cls=GroupedCommand, groups=(strategy_group, recipe_group))
@click.argument("name")
@click.option(
    "--searcher",
    "searchers",
    multiple=True,
    metavar="SPEC",
    help="Searcher to compare, or with --data strategy of supernets; repeatable.  [default: mtf_pdns, nsga2; with"
    " --trainings regularized_evolution, predictor]",
)
@click.option(
    "-o",
    "--objective",
    "objectives",
    multiple=True,
    metavar="NAME",
    help="Objective to optimise; repeatable.  [default: those of the benchmark]",
)
@click.option(
    "--seeds",
    type=click.IntRange(1, 10_000),
    help="Runs of each searcher, with seeds from 0.  [default: 30; with --data 3]",
)
@click.option(
    "--evaluations",
    type=click.IntRange(1, 10_000_000),
    envvar="NASCTL_BUDGET",
    show_envvar=True,
    help="Evaluations of a run, counting repeated architectures too.  [default: 1000, or fewer on a small benchmark]",
)
@click.option(
    "--trainings",
    type=click.IntRange(2, 10_000),
    metavar="N",
    help="Compare policies that choose N networks to train, in place of searchers of the objectives. With --data: the"
    " networks that random search trains.  [default with --data: as many as cost the same]",
)
@click.option("--plot", type=OutputPath(), metavar="FILE", help="Picture of the convergence to write.")
@strategy_group
@recipe_group
@store_option
@csv_option
@json_option
def command(
    name: str,
    searchers: tuple[str, ...],
    objectives: tuple[str, ...],
    seeds: int | None,
    evaluations: int | None,
    trainings: int | None,
    plot: Path | None,
    training: StrategyOptions,
    recipe: RecipeOptions,
    store: str,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Replay searches on a table of architectures and compare the searchers.

    Objectives are looked up in the table. No searcher sees the test errors by which architectures are judged. After a
    run its whole archive is judged. Random search always takes part.

    Each pair of searchers is compared by Cohen's d and by the two-sided rank-sum test over the seeds, with Holm's
    method over all pairs. Runs of equal seed are not paired, because two searchers share no random numbers.

    With --trainings, every run trains N networks, and only these are judged, by their test results. The policy "fitted"
    trains what a predictor of the labels so far prefers, and "training-free" a shortlist of a search without labels.
    Both may measure the metrics of --evaluations networks. Searchers train all that they propose, by label and cost.

    With --data, each searcher is a strategy of supernets. It trains one for each seed, beside the store, and the same
    command continues where it was stopped. The networks that are chosen with its weights are looked up in the table.
    Beside them stand random networks with the same weights, random search among trained networks at the same cost, one
    random network, the best network by metrics, and trained networks of the front of metrics and cost.

    HV is the hypervolume in test error and complexity, each scaled to 0 to 1, with the reference point (1.05, 1.05), as
    in published comparisons. It is at most 1.1025. Other commands print hypervolumes as shares of an ideal box.

    --csv prints a row for each run: its scene, searcher and seed, its size, and its indicators.
    """
    from nasctl import registry
    from nasctl.bench.benchmark import default_objectives
    from nasctl.commands.bench import _strategies, _trainings

    formats = as_csv, as_json
    if training.data is not None:
        _strategies.refuse_others(objectives, plot)
        asked = registry.split(searchers)
        _strategies.compare(name, asked, seeds, trainings, training, recipe, store, formats)
        return
    training.refuse_without_data(recipe)
    seeds = seeds or SEEDS
    if plot is not None:
        from nasctl.drawing.canvas import check_free

        if trainings:
            raise NasctlError("Cannot draw a convergence of trainings: --plot is for searches. Leave it out.")
        check_free(plot := file_in(plot, f"{Path(name.partition(':')[0]).stem}.png"))
    benchmark = registry.create("benchmarks", name)
    wanted = registry.split(objectives) or default_objectives(type(benchmark))
    evaluations = evaluations or benchmark.evaluations
    if trainings:
        _trainings.compare(name, benchmark, wanted, searchers, seeds, trainings, evaluations, formats)
        return
    _compare(name, benchmark, wanted, searchers, seeds, evaluations, plot, formats)


def _compare(
    name: str,
    benchmark: Benchmark,
    wanted: Sequence[str],
    searchers: Sequence[str],
    seeds: int,
    evaluations: int,
    plot: Path | None,
    formats: tuple[bool, bool],
) -> None:
    """Replay searches and print the comparison; `formats` are whether as CSV and whether as JSON."""
    import json

    from nasctl import registry
    from nasctl.bench.compare import BASELINE, compare_searchers, replay_searchers
    from nasctl.system.terminal import counted, plural, say

    as_csv, as_json = formats
    asked = [registry.normal("searchers", one) for one in registry.split(searchers) or SEARCHERS]
    asked = list(dict.fromkeys([*asked, BASELINE]))
    replays = replay_searchers(benchmark, wanted, asked, seeds, evaluations)
    comparison = compare_searchers(benchmark, wanted, list(counted(replays, len(asked) * seeds, "searches")))
    if as_json:
        about = {"benchmark": name, "source": benchmark.source, "objectives": wanted, "seeds": seeds}
        click.echo(json.dumps({**about, "evaluations": evaluations, **comparison.figures()}))
    else:
        runs = f"{plural(seeds, 'seed')} of {plural(evaluations, 'evaluation')}"
        say(f"{name}: {benchmark.source}; objectives {', '.join(wanted)}; {runs}")
        say(HV_SCALE)
        (_print_csv if as_csv else _print)(comparison)
    if plot is not None:
        from nasctl.bench.convergence_plot import draw

        draw(plot, comparison, f"{name}: {', '.join(wanted)}, {plural(seeds, 'seed')}")
        say(f"the convergence is drawn in {plot}")


def _print(comparison: SearcherComparison) -> None:
    """Print a table of indicators for each scene, and the tests."""
    from nasctl.bench.compare import BASELINE, INDICATORS
    from nasctl.bench.replay import SUBSET_SIZE
    from nasctl.system.terminal import TableColumn, table

    columns = [
        TableColumn("searcher", prose=True),
        TableColumn("archive", priority=5),
        TableColumn("of the exhaustive front", priority=6),
        TableColumn("different", priority=8),
        TableColumn("simulated time", priority=9),
        TableColumn("IGD", priority=2),
        TableColumn("IGD+", priority=1),
        TableColumn(HV),
        TableColumn("best", priority=3),
        TableColumn(f"{HV} of {SUBSET_SIZE}", priority=4),
        TableColumn("largest term of IGD", priority=7),
    ]
    for scene, about in comparison.scenes.items():
        rows = [
            [searcher, *_sizes(comparison, searcher), *_quality(judged, comparison.subset[scene][searcher])]
            for searcher, judged in comparison.final[scene].items()
        ]
        top = comparison.best[scene]
        rows.append(
            ["exhaustive front of the objectives", str(len(comparison.ceiling)), "100%", "", "", *_quality([top], [])]
        )
        rows.append(["true front", str(len(about.front)), "", "", "", "0", "0", f"{about.ceiling:.4f}", "", "", ""])
        table(columns, rows, title=scene, as_csv=False)
        click.echo()
    tests = comparison.tests()
    print_tests(tests, INDICATORS)
    say_unbeaten(one for one in tests if one.second == BASELINE)


def _print_csv(comparison: SearcherComparison) -> None:
    """Print the indicators of every run, with exact values."""
    from nasctl.bench.replay import SUBSET_SIZE
    from nasctl.system.terminal import TableColumn, table

    columns = [
        *map(TableColumn, ("scene", "searcher", "seed", "evaluations", "different", "archive")),
        TableColumn("simulated time", "s"),
        *map(TableColumn, ("IGD", "IGD+", HV, "best", "largest term of IGD")),
        TableColumn(f"{HV} of {SUBSET_SIZE}"),
    ]
    rows: list[list[object]] = []
    for scene, by_searcher in comparison.final.items():
        for searcher, judged in by_searcher.items():
            few = comparison.subset[scene][searcher]
            for seed, (run, one, part) in enumerate(zip(comparison.runs[searcher], judged, few, strict=True)):
                sizes = [len(run.places), run.distinct, len(run.archives[-1]), run.seconds]
                quality = [one.igd, one.igd_plus, one.hv, one.best, one.largest, part.hv]
                rows.append([scene, searcher, seed, *sizes, *quality])
    table(columns, rows, as_csv=True)


def _sizes(comparison: SearcherComparison, searcher: str) -> list[str]:
    """Return means over seeds: archive size, share of the exhaustive front, distinct architectures, simulated time."""
    from statistics import fmean

    from nasctl.system.terminal import duration

    runs = comparison.runs[searcher]
    seconds = fmean(run.seconds for run in runs)
    sizes = fmean(len(run.archives[-1]) for run in runs), fmean(run.distinct for run in runs)
    share = f"{100 * comparison.found(searcher):.0f}%"
    return [f"{sizes[0]:.0f}", share, f"{sizes[1]:.0f}", duration(seconds) if seconds else ""]


def _quality(judged: Sequence[Indicators], subset: Sequence[Indicators]) -> list[str]:
    """Return the indicators of whole archives and the hypervolume of their subsets, mean and deviation over seeds."""
    import numpy as np

    mean = mean_and_deviation
    return [
        mean([one.igd for one in judged], 4),
        mean([one.igd_plus for one in judged], 4),
        mean([one.hv for one in judged], 4),
        mean([one.best for one in judged], 2),
        mean([one.hv for one in subset], 4),
        f"{100 * float(np.mean([one.largest for one in judged])):.0f}%",
    ]

"""The part of `nasctl bench run` that trains supernets and compares the networks that are chosen with their weights."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
from click.core import ParameterSource

from nasctl.commands._complete import complete
from nasctl.commands._groups import OptionGroup
from nasctl.errors import NasctlError

if TYPE_CHECKING:
    from nasctl.analysis.strategy_comparison import Policy, StrategyComparison
    from nasctl.analysis.strategy_runs import StrategyStudy
    from nasctl.bench.compare import PairTest
    from nasctl.supernets.request import SupernetRequest
    from nasctl.training.request import RecipeOptions

STRATEGIES = ("darts", "gdas", "manas")  # compared by default
SEEDS = 3  # trainings by each strategy by default


@dataclass(frozen=True)
class StrategyOptions:
    """Options of trainings by strategies. All but `data` are None, or False, unless a user gives them."""

    data: str | None
    space: str | None
    share: Literal["entangled", "blocks"] | None
    split: str | None
    samples: int | None
    images: int | None
    threads: int | None
    torch_device: str | None

    def refuse_without_data(self, recipe: RecipeOptions) -> None:
        """Raise a `NasctlError` if an option of trainings is given without data."""
        given = [name for name, value in vars(self).items() if value is not None]
        given += ["recipe"] if recipe.file else []
        given += ["epochs"] if recipe.epochs else []
        given += ["set"] if recipe.fields else []
        if given:
            raise NasctlError(
                f"Cannot use --{given[0].replace('_', '-')} without --data: searches on a table train nothing. Give"
                " --data, and strategies of supernets as --searcher."
            )


strategy_group = OptionGroup(
    "training",
    "Strategies of supernets",
    StrategyOptions,
    (
        click.option(
            "--data",
            metavar="SOURCE",
            help="Train supernets by the strategies of --searcher on this data: digits, a folder or zip of images by"
            " class, or a CIFAR archive.",
        ),
        click.option(
            "--space",
            metavar="SPEC",
            shell_complete=complete("spaces"),
            help="Space that is trained, with the genes of the benchmark, such as nb201:cells=1,resolution=16."
            "  [default: that of the benchmark]",
        ),
        click.option(
            "--share",
            type=click.Choice(["entangled", "blocks"]),
            help="Weights that networks share, as for `nasctl supernet train`.  [default: by space; slices for a"
            " strategy that needs them]",
        ),
        click.option("--split", metavar="SHARES", help="Shares of the parts of the data.  [default: 0.8,0.1,0.1]"),
        click.option(
            "--samples",
            type=click.IntRange(1, 100_000),
            metavar="N",
            help="Networks that are drawn and judged with the weights of a supernet.  [default: 50]",
        ),
        click.option(
            "--images",
            type=click.IntRange(1, 1000),
            help="Validation images that they are judged on.  [default: 500]",
        ),
        click.option("--threads", type=click.IntRange(1, 1024), help="Threads of torch.  [default: 1]"),
        click.option("--torch-device", help="Device to train on: cpu or cuda:0.  [default: cpu]"),
    ),
)


def refuse_others(objectives: Sequence[str], plot: Path | None) -> None:
    """Raise a `NasctlError` if an option of searches on a table is typed beside data."""
    source = click.get_current_context().get_parameter_source("evaluations")  # the environment may have a number too
    given = {"-o": objectives, "--evaluations": source is ParameterSource.COMMANDLINE, "--plot": plot}
    if used := [option for option, value in given.items() if value]:
        raise NasctlError(
            f"Cannot use {used[0]} with --data: strategies learn from the loss of networks that they train. Leave"
            f" {used[0]} out."
        )


def compare(
    name: str,
    strategies: Sequence[str],
    seeds: int | None,
    trainings: int | None,
    given: StrategyOptions,
    recipe: RecipeOptions,
    store: str,
    formats: tuple[bool, bool],
) -> None:
    """Train supernets and print the comparison; `formats` are whether as CSV and whether as JSON.

    Raises:
        NasctlError: The strategies cannot be compared on the benchmark.
    """
    from nasctl import registry
    from nasctl.analysis.strategy_runs import StrategyStudy, compare_strategies
    from nasctl.supernets.request import SupernetRequest
    from nasctl.system.signals import exit_code
    from nasctl.system.terminal import plural, say

    asked = [registry.normal("strategies", one) for one in strategies or STRATEGIES]
    request = SupernetRequest(
        space=given.space or registry.plugin_of(name),
        data=given.data or "",
        share=given.share,
        split=given.split or "0.8,0.1,0.1",
        recipe=recipe,
        threads=given.threads or 1,
        torch_device=given.torch_device or "cpu",
    )
    study = StrategyStudy(
        name, request, tuple(dict.fromkeys(asked)), seeds or SEEDS, store, given.samples or 50, given.images or 500,
        trainings, say,
    )  # fmt: skip
    study.check()
    try:
        comparison = compare_strategies(study, _Trainer(study))
    except KeyboardInterrupt as stop:
        say(f"stopped; the same command continues: {shlex.join(['nasctl', *sys.argv[1:]])}")
        sys.exit(exit_code(stop))
    as_csv, as_json = formats
    if as_json:
        about = {"benchmark": name, "space": request.space, "data": request.data, "seeds": study.seeds}
        about |= {"samples": study.samples, "images": study.images}
        click.echo(json.dumps({**about, **comparison.figures()}))
        return
    say(f"{name}: {plural(study.seeds, 'seed')} of {', '.join(study.strategies)}, trained on {request.space}")
    (_print_csv if as_csv else _print)(comparison)


class _Trainer:
    """Trains supernets one after another and reports it to the user.

    Args:
        study: The comparison.
    """

    def __init__(self, study: StrategyStudy) -> None:
        self._study, self._done = study, 0
        self._total = study.seeds * len(study.strategies)

    def __call__(self, request: SupernetRequest) -> Path:
        """Train a supernet to the end, and return the file of its weights."""
        from nasctl.supernets.report import SupernetReport
        from nasctl.supernets.running import run_supernet
        from nasctl.system.terminal import say
        from nasctl.training.training import Work

        supernet, data = request.supernet()
        report = SupernetReport(supernet, data)
        if not self._done:
            say(*report.data_lines(), *report.recipe_lines(1))
        self._done += 1
        say(f"supernet {self._done} of {self._total}: {request.strategy}, seed {request.seed}, {supernet.name}")
        with report:
            session = run_supernet(supernet, data, self._study.store, Work(note=report.note), report.follow)
        return session.folder / "weights.safetensors"


def _print(comparison: StrategyComparison) -> None:
    """Print the accuracies of each policy, and the tests."""
    from nasctl.system.terminal import TableColumn, say, table

    columns = [TableColumn("policy", prose=True), TableColumn("trainings", priority=1)]
    columns += [TableColumn(scene, priority=place) for place, scene in enumerate(comparison.scenes)]
    rows = [
        [one.name, _cost(one), *(_accuracy(comparison, one, scene) for scene in comparison.scenes)]
        for one in comparison.policies
    ]
    table(columns, rows, title="accuracy of the chosen network", as_csv=False)
    say("mean and standard error over seeds; those of trained random networks are of as many runs")
    say("trainings: cost in trainings of one network by the same recipe, by floating-point operations")
    click.echo()
    tests = {(one.scene, one.first, one.second): one for one in comparison.tests()}
    columns = [TableColumn("network", prose=True), TableColumn("beside", prose=True)]
    columns += [TableColumn(scene, priority=place, prose=True) for place, scene in enumerate(comparison.scenes)]
    pairs = dict.fromkeys((first, second) for _, first, second in tests)
    rows = [[*pair, *(_test(tests[scene, *pair]) for scene in comparison.scenes)] for pair in pairs]
    table(columns, rows, title="tests, p by Holm's method", as_csv=False)
    say(*comparison.verdict())


def _test(found: PairTest) -> str:
    """Return whether the first network of a pair is better, with the p value."""
    word = "even" if found.better is None else "better" if found.better == found.first else "worse"
    return f"{word}, {found.p:.2g}"


def _cost(policy: Policy) -> str:
    return f"{policy.cost:.1f}"


def _accuracy(comparison: StrategyComparison, policy: Policy, scene: str) -> str:
    """Return the mean of the accuracies with its standard error."""
    mean, error = comparison.accuracies(policy, scene).mean(), comparison.standard_error(policy, scene)
    return f"{mean:.2f}" if error != error else f"{mean:.2f} ± {error:.2f}"


def _print_csv(comparison: StrategyComparison) -> None:
    """Print the accuracy of each chosen network, and the mean of the many runs of random search."""
    from nasctl.system.terminal import table

    rows: list[list[object]] = []
    for one in comparison.policies:
        for scene in comparison.scenes:
            values = comparison.accuracies(one, scene).tolist()
            if len(values) > len(one.genomes):  # random search among trained networks
                rows.append([scene, one.name, None, None, sum(values) / len(values), one.cost])
                continue
            for seed, (genome, value) in enumerate(zip(one.genomes, values, strict=True)):
                rows.append([scene, one.name, seed, ",".join(map(str, genome)), value, one.cost])
    table(["scene", "policy", "seed", "genome", "accuracy", "trainings"], rows, as_csv=True)

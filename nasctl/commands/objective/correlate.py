"""The command `nasctl objective correlate`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from nasctl.commands import csv_option, json_option, space_option, store_option
from nasctl.commands._groups import GroupedCommand
from nasctl.commands._setting import (
    data_option,
    fidelity_option,
    sample_seed_option,
    setting_group,
    torch_device_option,
)
from nasctl.commands.objective import objective_option, objective_task, untrained_metrics

if TYPE_CHECKING:
    from nasctl.analysis.correlate import CorrelationTable
    from nasctl.analysis.few_labels import FewLabelsPick
    from nasctl.evaluation.task import Task
    from nasctl.search.request import SettingOptions

setting_options = setting_group(sample_seed_option, fidelity_option, data_option, torch_device_option)


@click.command("correlate", cls=GroupedCommand, groups=(setting_options,))
@space_option
@objective_option
@click.option(
    "--truth",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Table of known values, CSV or JSON, may be compressed with gzip.",
)
@click.option("--column", "columns", multiple=True, help="Column of the table, such as an accuracy; repeatable.")
@click.option("--lower-is-better", is_flag=True, help="Lower known values are better.")
@click.option(
    "--sample",
    default=200,
    show_default=True,
    type=click.IntRange(10, 10**6),
    help="Number of architectures; not beside --few.",
)
@click.option(
    "--few",
    type=click.IntRange(8, 10**6),
    metavar="NUMBER",
    help="Pick metrics and their directions by this many networks of the table, drawn at random, and say how certain it"
    " is that they beat parameters and MACs. Without -o all metrics are tried that apply and do not train.",
)
@click.option(
    "--score",
    "aggregations",
    multiple=True,
    metavar="METHOD:A+B",
    help="Aggregate several metrics by log_rank, mean_rank or vote, as in log_rank:synflow+jacov; repeatable.",
)
@setting_options
@store_option
@csv_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    space: str,
    objectives: tuple[str, ...],
    truth: Path,
    columns: tuple[str, ...],
    lower_is_better: bool,
    sample: int,
    few: int | None,
    aggregations: tuple[str, ...],
    setting: SettingOptions,
    store: str,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Compare metrics with known values of architectures of SPACE, such as their accuracies.

    Parameters, MACs and depth are baselines, where larger counts as better: a metric that does not beat them does not
    pay for its time. Brackets hold 95% bootstrap intervals. A failed architecture counts as worst. Seconds are the
    median for an architecture, as the store has them; the first metric of a shared pass is charged for the pass.

    With --few the table may be short: train some 32 networks of the space, and the command picks the metrics to search
    with on this space and task.
    """
    import json

    from nasctl.analysis import correlate, few_labels, score
    from nasctl.problem.defaults import SIZES
    from nasctl.store.store import Store
    from nasctl.system.terminal import counted, plural, say

    _refuse_sample_beside_few(ctx)
    more = untrained_metrics() if few and not objectives else []
    task = objective_task(space, objectives, setting, also=[*SIZES, *more])
    seed = setting.weights_seed
    scores = correlate.parse_scores(task, aggregations)
    known = correlate.sample_known_values(truth, space, columns, few or sample, seed)
    genomes = list(dict.fromkeys(map(task.space.canonical, known.genomes)))
    say(*(few_labels.count_labels(few, len(genomes), truth) if few else ()))
    found = list(counted(score.score_genomes(task, space, genomes, Store(store)), len(genomes), "scored"))
    say(*score.failure_messages(found), *score.machine_messages(found))
    rows = {row.evaluation.genome: row for row in found}
    results = correlate.correlate_metrics(task, scores, known, rows, lower_is_better, seed)
    picks = few_labels.pick_for_columns(task, known, rows, lower_is_better, seed) if few else {}
    if as_json:
        parts = {"columns": results.report(), "picks": {c: one.report(task) for c, one in picks.items()}}
        click.echo(json.dumps(parts if few else parts["columns"]))
        return
    if as_csv:
        _print_csv(results)
    else:
        number = plural(len(known.genomes), "architecture")
        _print_tables(results, f"{number} of {space}; {task.setting}")
    _print_verdicts(results, picks, task, as_csv)


def _print_tables(results: CorrelationTable, about: str) -> None:
    """Print a table for each column of known values, with a line on stderr above it that ends as `about`."""
    from nasctl.system.terminal import TableColumn, say, table

    columns = [
        TableColumn("metric"),
        TableColumn("Spearman"),
        TableColumn("Kendall", priority=1),
        TableColumn("top 10%", priority=3),
        TableColumn("failed", priority=4),
        TableColumn("s each", priority=2),
    ]
    for column, lines in results.tables():
        say(f"{column}, {about}")
        table(columns, lines)


def _print_csv(results: CorrelationTable) -> None:
    """Print all results as one table with exact values; each estimate has its 95% bootstrap interval."""
    from nasctl.system.terminal import table

    names = ["Spearman", "Kendall", "top 10%"]
    heads = [word for name in names for word in (name, f"{name}, low", f"{name}, high")]
    rows = []
    for column, lines in results.columns.items():
        for line in lines:
            found = line.agreement
            estimates = [
                cell
                for one in (found.spearman, found.kendall, found.top)
                for cell in ((one.value, one.low, one.high) if one else (None,) * 3)
            ]
            rows.append([column, line.name, *estimates, found.n, found.failed, line.seconds])
    table(["column", "metric", *heads, "architectures", "failed", "time (s)"], rows, as_csv=True)


def _print_verdicts(results: CorrelationTable, picks: Mapping[str, FewLabelsPick], task: Task, as_csv: bool) -> None:
    """Print warnings on stderr, and on stdout the pick of each column, which is an answer and not a remark.

    Beside CSV, the picks go to stderr too.
    """
    from nasctl.system.terminal import paragraphs, plural, say

    say(*results.warnings())
    for column, one in picks.items():
        lines = ["", f"{column}, by {plural(one.labels, 'label')}:", *one.sentences(task)]
        if as_csv:
            say(*lines)
        else:
            paragraphs("\n".join(lines))


def _refuse_sample_beside_few(ctx: click.Context) -> None:
    """Refuse two options that set the number of networks.

    Raises:
        click.UsageError: Both were given.
    """
    given = ctx.get_parameter_source("sample") is ParameterSource.COMMANDLINE
    if given and ctx.params["few"]:
        raise click.UsageError("--sample and --few both set the number of networks; give one of them")

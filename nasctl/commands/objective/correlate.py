"""`nasctl objective correlate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nasctl.commands import json_option, space_option, store_option
from nasctl.commands._groups import GroupedCommand
from nasctl.commands._setting import (
    data_option,
    fidelity_option,
    sample_seed_option,
    setting_group,
    torch_device_option,
)
from nasctl.commands.objective import objective_option, objective_task

if TYPE_CHECKING:
    from nasctl.search.request import SettingOptions

setting_options = setting_group(sample_seed_option, fidelity_option, data_option, torch_device_option)

SIZES = ("params", "macs", "depth")  # that every metric has to beat


@click.command("correlate", cls=GroupedCommand, groups=(setting_options,))
@space_option
@objective_option
@click.option("--truth", required=True, type=click.Path(path_type=Path), metavar="FILE", help="CSV or JSON, or packed.")
@click.option("--column", "columns", multiple=True, help="Of the truth, such as an accuracy; repeatable.")
@click.option("--lower-is-better", is_flag=True, help="What the columns hold is better where it is lower.")
@click.option("--sample", default=200, show_default=True, type=click.IntRange(10, 10**6), help="Architectures.")
@click.option(
    "--score",
    "aggregations",
    multiple=True,
    metavar="METHOD:A+B",
    help="Also rank by several metrics: log_rank, mean_rank or vote, as in log_rank:synflow+jacov; repeatable.",
)
@setting_options
@store_option
@json_option
def command(
    space: str,
    objectives: tuple[str, ...],
    truth: Path,
    columns: tuple[str, ...],
    lower_is_better: bool,
    sample: int,
    aggregations: tuple[str, ...],
    setting: SettingOptions,
    store: str,
    as_json: bool,
) -> None:
    """Compare metrics with what is known of architectures of SPACE, such as their accuracies.

    Parameters, MACs and depth stand beside them, larger taken as better: a metric that does not beat them is not worth
    its time. Brackets hold 95% bootstrap intervals; a failed architecture counts as worst.
    """
    import json

    from nasctl.analysis import correlate, score
    from nasctl.store.store import Store
    from nasctl.system.terminal import counted, say, table

    task = objective_task(space, objectives, setting, also=SIZES)
    seed = setting.weights_seed
    scores = correlate.parse_scores(task, aggregations)
    facts = correlate.sample_known_values(truth, space, columns, sample, seed)
    genomes = list(dict.fromkeys(map(task.space.canonical, facts.genomes)))
    found = list(counted(score.score_genomes(task, space, genomes, Store(store)), len(genomes), "scored"))
    say(*score.failure_messages(found))
    judged = correlate.correlate_metrics(task, scores, facts, {row.evaluation.genome: row for row in found}, lower_is_better, seed)
    if as_json:
        click.echo(json.dumps(judged.report()))
        return
    for column, lines in judged.tables():
        say(f"{column}, {len(facts.genomes)} architectures of {space}; {task.setting}")
        table(["metric", "Spearman", "Kendall", "top 10%", "failed", "s each"], lines)
    say(*judged.warnings())

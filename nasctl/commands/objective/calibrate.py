"""The command `nasctl objective calibrate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nasctl.commands import csv_option, json_option, space_option, store_option
from nasctl.commands._groups import GroupedCommand
from nasctl.commands._setting import data_option, sample_seed_option, setting_group, torch_device_option
from nasctl.commands.objective import objective_option, objective_task

if TYPE_CHECKING:
    from nasctl.search.request import SettingOptions

setting_options = setting_group(sample_seed_option, data_option, torch_device_option)


@click.command("calibrate", cls=GroupedCommand, groups=(setting_options,))
@space_option
@objective_option
@click.option("--form", "forms", multiple=True, metavar="BOUNDS", help="Further fidelity to measure; repeatable.")
@click.option("--sample", default=30, show_default=True, type=click.IntRange(3, 10**5), help="Number of architectures.")
@setting_options
@store_option
@csv_option
@json_option
def command(
    space: str,
    objectives: tuple[str, ...],
    forms: tuple[str, ...],
    sample: int,
    setting: SettingOptions,
    store: str,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Measure how well cheaper fidelities of SPACE keep the order of the full fidelity, and what they cost.

    The order is compared by Kendall's tau. The last row is the full fidelity with other weights and examples, which
    limits what a cheaper fidelity can be expected to keep. Seconds are the median that all metrics together take for an
    architecture, as the store has them.
    """
    import json
    from dataclasses import asdict, replace

    from nasctl.analysis.fidelities import compare_fidelities
    from nasctl.evaluation.ranges import sample as drawn
    from nasctl.problem.fidelity import Fidelity
    from nasctl.problem.space import levels
    from nasctl.store.store import Store
    from nasctl.system.terminal import TableCell, TableColumn, counted, say, table

    task = objective_task(space, objectives, replace(setting, fidelity="full"))
    named = levels(task.space)
    asked = named | {form: Fidelity.parse(form, named) for form in forms}
    networks = drawn(task.space, sample, setting.weights_seed)
    rows = compare_fidelities(task, space, asked, networks, Store(store))
    found = list(counted(rows, len(asked) + 1, "forms"))
    if as_json:
        click.echo(json.dumps([asdict(row) for row in found]))
        return
    heads = list(found[0].tau)
    lines = []
    for row in found:
        taus = [TableCell(tau, text := "-" if tau is None else f"{tau:.2f}", text) for tau in row.tau.values()]
        seconds = TableCell(row.seconds, text := f"{row.seconds:.3f}", text)
        lines.append([row.name, str(row.fidelity), seconds, *taus])
    columns = [
        TableColumn("level", prose=True),
        TableColumn("fidelity", priority=9, prose=True),
        TableColumn("s each", priority=1),
        *(TableColumn(name, priority=2) for name in heads),
    ]
    table(columns, lines, as_csv=as_csv)
    say(*(remark for row in found for remark in row.remarks(len(networks))))

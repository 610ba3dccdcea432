"""`nasctl pareto`: the front of a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nasctl.commands import json_option, run_option, store_option

if TYPE_CHECKING:
    from nasctl.record import Record


@click.group()
def command() -> None:
    """Show and plot the non-dominated candidates of a run."""


@command.command()
@run_option
@click.option(
    "--score",
    metavar="METHOD:A+B",
    help="Ranks among the run's candidates, as one number to look at: log_rank, mean_rank or vote of which metrics;"
    " of a cost more counts as better.  [default: log_rank of all metrics optimised]",
)
@store_option
@json_option
def show(run: str | None, score: str | None, store: str, as_json: bool) -> None:
    """Show the front of a run, in the units of its objectives, and a score that no search sees."""
    import json

    from nasctl import ids, registry
    from nasctl.report import say, table
    from nasctl.search import front
    from nasctl.store import Store
    from nasctl.worth import scores_of_run

    opened = Store.reading(store)
    name, record = opened.run(run)
    visited = opened.evaluations(name)
    best = front(visited, record.goals, record.constraints)
    head, scores = scores_of_run(record, visited, score) or ("", {})
    genes = registry.create("spaces", record.space).genes
    found = [(ids.encode(record.space, genes, e.genome), e) for e in best]
    if as_json:
        report = [
            {"id": arch, "genome": e.genome, "values": e.values, "score": {head: scores.get(e.genome)} if head else {}}
            for arch, e in found
        ]
        click.echo(json.dumps(report))
        return
    say(f"front of run {name}: {len(found)} of {len(visited)} candidates")
    heads = [f"{objective} ({column.unit})" for objective, column in record.columns.items()]
    rows = [[arch, *(e.values.get(objective, "failed") for objective in record.columns)] for arch, e in found]
    if head:
        heads.append(f"score: {head}")
        rows = [[*row, scores.get(e.genome, "-")] for row, (_, e) in zip(rows, found, strict=True)]
    table(["id", *heads], rows)


@command.command()
@run_option
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Picture to write: .png, .svg or .pdf.  [default: RUN.png]",
)
@click.option("--force", is_flag=True, help="Write over an existing picture.")
@store_option
def plot(run: str | None, output: Path | None, force: bool, store: str) -> None:
    """Draw the front of a run against all its candidates, a panel for each pair of cost and metric."""
    import numpy as np

    from nasctl import ids, registry
    from nasctl.panels import Axis
    from nasctl.plot import draw
    from nasctl.report import say
    from nasctl.search import front, violations
    from nasctl.store import Store

    opened = Store.reading(store)
    name, record = opened.run(run)
    optimised = record.goals
    whole = [e for e in opened.evaluations(name) if all(goal.name in e.values for goal in optimised)]
    best = {e.genome for e in front(whole, optimised, record.constraints)}
    genes = registry.create("spaces", record.space).genes
    path = output or Path(f"{name}.png")
    axes = [
        Axis(goal.name, record.columns[goal.name].unit, goal.direction, goal.cost == "network", goal.transform)
        for goal in optimised
    ]
    draw(
        path,
        axes,
        np.array([[e.values[goal.name] for goal in optimised] for e in whole]),
        np.array([e.genome in best for e in whole]),
        [ids.encode(record.space, genes, e.genome) for e in whole],
        title=f"{registry.normal('spaces', record.space)}: run {name}",
        subtitle="\n".join(_facts(record)),
        others=[ids.encode(record.space, genes, genome) for genome in opened.genomes(record.space)],
        feasible=violations(whole, record.constraints).max(axis=1, initial=0.0) == 0,
        overwrite=force,
    )
    say(f"the front of run {name} is in:")
    click.echo(path)


def _facts(record: Record) -> Iterator[str]:
    """What a reader of the picture has to know of a run: the searcher, the setting, the devices."""
    asked = record.asked
    subject = f", subject to {', '.join(asked['constraints'])}" if asked["constraints"] else ""
    yield f"{asked['searcher']}, seed {asked['seed']}{subject}; metrics: {asked['setting']}"
    for name, column in record.columns.items():
        if "@" in name:
            yield f"{name}: {column.remarks[0]}"

"""`nasctl pareto`: the front of a run."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from nasctl.commands import json_option, run_option, store_option

if TYPE_CHECKING:
    from nasctl.pick import Rule
    from nasctl.record import Record


@click.group()
def command() -> None:
    """The non-dominated candidates of a run: show, plot and measure them, and pick one."""


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


@command.command()
@run_option
@click.option(
    "--knee",
    is_flag=True,
    help="The nearest to the best of every objective, each scaled to its range on the front.  [default]",
)
@click.option(
    "--under",
    multiple=True,
    metavar="BOUND",
    help='Among those within bounds, such as "latency@gpu<=30": the best in the first objective that no bound is about,'
    " or by another rule that is given with it; repeatable.",
)
@click.option("--best", metavar="NAME", help="The best in one objective.")
@click.option(
    "--near", multiple=True, metavar="WISH", help="The nearest to a wish, better or worse: latency@gpu=20,params=4M."
)
@click.option(
    "--order", multiple=True, metavar="NAMES", help="The best in the first, then in the second, ...: synflow,macs."
)
@click.option(
    "--tolerance",
    default="0%",
    show_default=True,
    metavar="PERCENT",
    help="With --order: what lies so near to the best counts as good, in per cent of the range on the front.",
)
@store_option
@json_option
@click.pass_context
def pick(
    ctx: click.Context,
    run: str | None,
    knee: bool,
    under: tuple[str, ...],
    best: str | None,
    near: tuple[str, ...],
    order: tuple[str, ...],
    tolerance: str,
    store: str,
    as_json: bool,
) -> None:
    """Pick one network of the front of a run, and say why it is that one."""
    import json

    from nasctl import ids, registry
    from nasctl.pick import pick as picked
    from nasctl.report import definitions, quantity
    from nasctl.store import Store

    rule = _rule(knee, under, best, near, order, tolerance)
    name, record = (opened := Store.reading(store)).run(run)
    found = picked(record, opened.evaluations(name), rule, under)
    chosen = found.chosen
    arch = ids.encode(record.space, registry.create("spaces", record.space).genes, chosen.genome)
    given = ctx.get_parameter_source("store") is ParameterSource.COMMANDLINE
    export = f"nasctl export --arch {arch}" + (f" --store {shlex.quote(store)}" if given else "")
    if as_json:
        result = {"run": name, "id": arch, "genome": chosen.genome, "values": chosen.values, "front": found.front}
        click.echo(json.dumps({**result, "why": found.why, "export": export}))
        return
    values = {
        key: quantity(chosen.values[key], column.unit) if key in chosen.values else f"failed: {chosen.errors.get(key)}"
        for key, column in record.columns.items()
    }
    why = f"{found.why}; of {found.front} on the front of run {name}"
    definitions({"id": arch, **values, "why": why, "export": export})


def _rule(
    knee: bool, under: tuple[str, ...], best: str | None, near: tuple[str, ...], order: tuple[str, ...], tolerance: str
) -> Rule:
    """The one rule that a person asked for.

    Raises:
        NasctlError: They asked for several, or for none that a tolerance belongs to.
    """
    from nasctl import pick as rules
    from nasctl.errors import NasctlError

    given = {"--knee": knee, "--best": best is not None, "--near": bool(near), "--order": bool(order)}
    asked = [option for option, there in given.items() if there]
    if len(asked) > 1:
        raise NasctlError(f"{' and '.join(asked)} are different rules; give one of them")
    if tolerance != "0%" and not order:
        raise NasctlError("--tolerance belongs to --order; give that too, or leave it out")
    if near:
        return rules.by_wish(near)
    if order:
        return rules.by_order(order, tolerance)
    return rules.by_best(best, under) if best is not None or (under and not knee) else rules.by_knee


@command.command()
@run_option
@store_option
@json_option
def hypervolume(run: str | None, store: str, as_json: bool) -> None:
    """Show the hypervolume of the front of a run, what it is measured on, and how it grew."""
    import json

    from nasctl.again import scale
    from nasctl.indicators import REFERENCE, checkpoints, standing
    from nasctl.report import definitions, table
    from nasctl.search import front
    from nasctl.store import Store

    opened = Store.reading(store)
    name, record = opened.run(run)
    visited = opened.evaluations(name)
    measured, said = scale(record, visited)
    points = standing(visited, record.goals, record.constraints)
    counts = checkpoints(len(visited), 100 if as_json else 10)
    curve = measured.curve(points, counts)
    size = len(front(visited, record.goals, record.constraints))
    if as_json:
        ends = {"reference": REFERENCE, "best": measured.best, "worst": measured.worst, "normalisation": said}
        growth = [list(point) for point in zip(counts, curve, strict=True)]
        click.echo(json.dumps({"run": name, "hypervolume": curve[-1], "front": size, "scale": ends, "curve": growth}))
        return
    ranges = {
        goal.name: f"{measured.best[goal.name]:.6g} is 0, {measured.worst[goal.name]:.6g} is 1"
        f" ({record.columns[goal.name].unit})"
        for goal in record.goals
    }
    definitions(
        {
            "run": name,
            "hypervolume": f"{curve[-1]:.4f}",
            "front": f"{size} of {len(visited)} candidates",
            "reference": f"{REFERENCE} in each scaled objective, so a point that is best in all has"
            f" {REFERENCE ** len(record.goals):.4f}",
            "scaled": said,
            **ranges,
        }
    )
    click.echo()
    table(["candidates", "hypervolume"], [[n, f"{volume:.4f}"] for n, volume in zip(counts, curve, strict=True)])


def _facts(record: Record) -> Iterator[str]:
    """What a reader of the picture has to know of a run: the searcher, the setting, the devices."""
    asked = record.asked
    subject = f", subject to {', '.join(asked['constraints'])}" if asked["constraints"] else ""
    yield f"{asked['searcher']}, seed {asked['seed']}{subject}; metrics: {asked['setting']}"
    for name, column in record.columns.items():
        if "@" in name:
            yield f"{name}: {column.remarks[0]}"

"""`nasctl runs`: what a store holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nasctl.commands import json_option, store_option

if TYPE_CHECKING:
    from nasctl.record import Record
    from nasctl.values import Evaluation


@click.group()
def command() -> None:
    """List, show, compare and delete runs."""


@command.command(name="list")
@store_option
@json_option
def listed(store: str, as_json: bool) -> None:
    """List the runs of the store, the newest first."""
    import json
    from datetime import datetime

    from nasctl.report import table
    from nasctl.store import Store

    found = Store.reading(store).runs()
    if as_json:
        keys = ("space", "searcher", "seed", "objectives", "constraints")
        rows = [
            {"name": run.name, "candidates": run.visited, "started": run.started}
            | {key: run.record.asked[key] for key in keys}
            for run in found
        ]
        click.echo(json.dumps(rows))
        return
    heads = ["run", "candidates", "space", "searcher", "seed", "objectives", "last started"]
    lines = []
    for run in found:
        asked = run.record.asked
        when = datetime.fromtimestamp(run.started).isoformat(" ", "seconds")
        space, searcher = (asked[key].partition(":")[0] for key in ("space", "searcher"))
        lines.append([run.name, run.visited, space, searcher, asked["seed"], " ".join(asked["objectives"]), when])
    table(heads, lines)


@command.command()
@click.argument("name", required=False)
@store_option
@json_option
def show(name: str | None, store: str, as_json: bool) -> None:
    """Show what the run NAME (or the newest) asked for, with which versions, and how it went."""
    import json

    from nasctl.report import definitions, duration
    from nasctl.search import front
    from nasctl.store import Store

    opened = Store.reading(store)
    name, record = opened.run(name)
    visits = list(opened.visits(name))
    found = [evaluation for evaluation, _ in visits]
    errors = sorted({error for evaluation in found for error in evaluation.errors.values()})
    result = {
        "run": name,
        **record.asked,
        "versions": record.versions,
        "candidates": len(found),
        "failed": sum(bool(evaluation.errors) for evaluation in found),
        "errors": errors,
        "front": len(front(found, record.goals, record.constraints)),
        "score": _best(record, found),
        "seconds": round(sum(seconds for _, seconds in visits), 3),
    }
    if as_json:
        click.echo(json.dumps(result))
        return
    result["seconds"] = duration(float(str(result["seconds"])))
    listed = {key: _listed(value) for key, value in result.items()}
    definitions({key: "-" if value == "" else value for key, value in listed.items()})


def _best(record: Record, found: Sequence[Evaluation]) -> dict[str, object]:
    """Who is best by the score of the run, and what that is made of."""
    from nasctl import ids, registry
    from nasctl.worth import scores_of_run

    head, scores = scores_of_run(record, found, None) or ("", {})
    if not scores:
        return {}
    genome = max(scores, key=lambda one: scores[one])
    arch = ids.encode(record.space, registry.create("spaces", record.space).genes, genome)
    return {head: round(scores[genome], 6), "best": arch}


def _listed(value: object) -> object:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {one}" for name, one in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else value


@command.command()
@click.argument("names", metavar="RUN RUN ...", nargs=-1, required=True)
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Draw the fronts over one another, in the first cost and the first metric, and the hypervolumes over the"
    " evaluations: .png, .svg or .pdf.",
)
@click.option("--force", is_flag=True, help="Write over an existing picture.")
@store_option
@json_option
def compare(names: tuple[str, ...], plot: Path | None, force: bool, store: str, as_json: bool) -> None:
    """Compare runs of one space and the same objectives, each RUN by its name or its beginning.

    The hypervolumes have one scale: each objective by its range over what all of these runs evaluated. Single runs also
    differ by the luck of their seeds.
    """
    import json

    from nasctl.compare import compared
    from nasctl.indicators import REFERENCE
    from nasctl.plot import check_free
    from nasctl.report import say, table
    from nasctl.store import Store

    if plot is not None:
        check_free(plot, force)
    found = compared(Store.reading(store), names)
    say(*(f"Warning: {sentence}" for sentence in found.warnings()))
    if plot is not None:
        from nasctl.overlay import overlay

        overlay(plot, found, force)
        say(f"picture: {plot}")
    if as_json:
        click.echo(json.dumps(found.report()))
        return
    ends = [f"{name} {best:.6g} to {found.scale.worst[name]:.6g}" for name, best in found.scale.best.items()]
    say(f"HV: hypervolume up to {REFERENCE} of each range over what these runs evaluated: {', '.join(ends)}")
    for k, (heads, rows) in enumerate(found.tables()):
        if k and rows:
            click.echo()
        if rows:
            table(heads, rows)


@command.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@store_option
def delete(name: str, yes: bool, store: str) -> None:
    """Forget the run NAME; what it measured stays in the store, where other runs share it."""
    from nasctl.report import say
    from nasctl.store import Store

    opened = Store.reading(store)
    name, _ = opened.run(name)
    if not yes:
        click.confirm(f"Delete run {name} of {opened.path}?", abort=True, err=True)
    opened.delete(name)
    say(f"deleted run {name}; its measurements stay, so the same search would be quick")

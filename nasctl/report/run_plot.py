"""The picture of a run of a store: its front with marked networks, on axes that a user may choose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nasctl import registry
from nasctl.architectures import ids
from nasctl.architectures.references import differing_references, references
from nasctl.drawing.canvas import check_free
from nasctl.drawing.pareto import draw
from nasctl.drawing.pareto_layout import Axis, Mark, TrainedPoints, View
from nasctl.errors import NasctlError, UnknownName
from nasctl.evaluation.measure import measure
from nasctl.pareto.losses import violations
from nasctl.problem.space import Genome
from nasctl.report.summary import ReportSummary, Series, summarize_run
from nasctl.search.command_line import command_line
from nasctl.search.metrics import make_objective
from nasctl.search.recorded import run_from_record
from nasctl.store.run_record import RunRecord
from nasctl.store.store import Store

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RESULTS = ("trained", "accuracy", "perplexity", "loss")  # names of the results of trainings as an axis


@dataclass(frozen=True)
class ChosenView:
    """Axes and marks of a picture as a user names them.

    Args:
        x: Name of the quantity on x: an objective or recorded metric of the run, "params" or "macs"; None for each
            cost, or for each objective of the other kind than y.
        y: Name of the quantity on y, which may also be "accuracy" of trained networks; None likewise.
        marks: Networks to mark: ids, genomes, or names of published networks of the space.
    """

    x: str | None = None
    y: str | None = None
    marks: Sequence[str] = ()


EVERYTHING = ChosenView()  # a panel for each cost and each metric


def draw_run(
    path: Path | None, store: Store, run: str | None, chosen: ChosenView = EVERYTHING, overwrite: bool = False
) -> Figure:
    """Draw a run with its recommended network, the published networks that it visited, and what a user marks.

    Args:
        path: Path of the picture; its suffix is the format. None for no file.
        store: The store.
        run: Name of the run, or a unique beginning; None for the run started last.
        chosen: Axes and marks.
        overwrite: Whether an existing file may be replaced.

    Returns:
        The figure.

    Raises:
        NasctlError: An axis or a mark cannot be drawn, there is nothing to draw, or the file cannot be written.
    """
    if path:
        check_free(path, overwrite)
    found = summarize_run(store, run)
    record, series = found.record, {one.name: one for one in found.series}
    goals = [goal.name for goal in record.goals]
    named = [_quantity(found, text) for text in (chosen.x, chosen.y) if text is not None]
    shown = [series[name] for name in dict.fromkeys([*goals, *named]) if series[name].role != "trained"]
    axes = [series_axis(record, one) for one in shown]
    table = np.column_stack([one.values for one in shown])
    rows = [int(k) for k in np.flatnonzero(np.isfinite(table).all(axis=1))]
    whole = [found.visited[k] for k in rows]
    panels = _panels(axes, len(goals), found, chosen)
    marks = _marks(found, store, chosen.marks, rows, [one.name for one in shown], panels)
    subtitle, results = _sentences(found), _results(found, rows)
    if results is not None and found.trained is not None:
        error = " with its standard error" if found.trained.measure == "accuracy" else ""
        subtitle.append(f"trained: {found.trained.name}{error} on {found.trained.setting}")
    genes = registry.create("spaces", record.space).genes
    return draw(
        path,
        axes,
        table[rows],
        np.isin(rows, found.front),
        [found.ids[k] for k in rows],
        title=f"{registry.normal('spaces', record.space)}: run {found.run.name}",
        subtitle="\n".join(subtitle),
        others=[ids.encode(record.space, genes, genome) for genome in store.genomes(record.space)],
        feasible=violations(whole, record.constraints).max(axis=1, initial=0.0) == 0,
        overwrite=overwrite,
        trained=results,
        view=View(marks, panels, len(goals), dict(_facts(found)), list(_warnings(found))),
    )


def _quantity(found: ReportSummary, text: str) -> str:
    """Return the name of the series that a user's word means; "latency" stands for the latency on the only device."""
    known = [one.name for one in found.series if one.role not in ("order", "trained")]
    trained = next((one.name for one in found.series if one.role == "trained"), None)
    if trained is not None and text in (trained, *RESULTS) and text not in known:
        return trained
    word = text.replace("-", "_")
    full = [name for name in known if name.replace("-", "_") == word] or [
        name for name in known if name.partition("@")[0].replace("-", "_") == word
    ]
    if len(full) > 1:
        raise NasctlError(f"Cannot tell which {text} to draw: the run has {', '.join(full)}. Give one of them in full.")
    if not full:
        raise UnknownName("objective of this run", text, known)
    return full[0]


def series_axis(record: RunRecord, one: Series) -> Axis:
    """Return a series as an axis. Recorded metrics and sizes have the direction of their objective."""
    column = record.columns.get(one.name)
    cost = one.role == "baseline" or (column is not None and column.cost == "network" and one.direction != "max")
    direction, transform, unit = one.direction, one.transform, one.unit
    if direction is None:
        try:
            objective = make_objective(one.name, record.space)[1]
        except NasctlError:  # the plug-in is not installed any more
            direction = "min" if cost else "max"
        else:
            direction, transform = objective.direction, objective.transform
    return Axis(one.name, unit, direction, cost, transform)


def _panels(
    axes: Sequence[Axis], optimised: int, found: ReportSummary, chosen: ChosenView
) -> list[tuple[int, int]] | None:
    """Return the columns of the panels; None if the user chose no axis."""
    if chosen.x is None and chosen.y is None:
        return None
    names = {axis.name: k for k, axis in enumerate(axes)}
    trained = {one.name: len(axes) for one in found.series if one.role == "trained"}
    x, y = ((names | trained)[_quantity(found, text)] if text else None for text in (chosen.x, chosen.y))
    if x == len(axes):
        raise NasctlError("Cannot draw results of trainings on x. Give them with --y, and a cost with --x.")
    if x is not None and y is not None:
        if x == y:
            raise NasctlError(f"Cannot draw {axes[x].name} against itself. Give two quantities with --x and --y.")
        return [(x, y)]
    given = x if x is not None else y
    assert given is not None
    others = [k for k in range(optimised) if k != given]
    if not others:
        raise NasctlError("Cannot choose the other axis: the run has one objective. Give both --x and --y.")
    is_cost = given < len(axes) and axes[given].cost
    others = [k for k in others if axes[k].cost != is_cost] or others
    return [(given, k) if x is not None else (k, given) for k in others]


def _marks(
    found: ReportSummary,
    store: Store,
    texts: Sequence[str],
    rows: Sequence[int],
    names: Sequence[str],
    panels: Sequence[tuple[int, int]] | None,
) -> list[Mark]:
    """Return the marks: the recommended network, visited published networks, then the user's.

    Args:
        found: The run.
        store: The store.
        texts: Networks that the user marks.
        rows: Rows of the candidates that are drawn.
        names: Names of the axes, (M,).
        panels: Columns of the panels; None for those of all objectives.

    Raises:
        NasctlError: A network that the user marks is no architecture of the space, or cannot be drawn.
    """
    places = {k: place for place, k in enumerate(rows)}
    marks: dict[int | str, Mark] = {
        k: Mark(name, "recommended" if k == found.recommended else "reference", places[k])
        for k, name in found.marked_rows.items()
        if k in places
    }
    visited = {one.genome: k for k, one in enumerate(found.visited)}
    for text in texts:
        name, genome = _network(text, store, found.record)
        row = visited.get(genome)
        if row is None:
            drawn = names[: len(found.record.goals)] if panels is None else [names[k] for pair in panels for k in pair]
            marks[text] = Mark(name, "chosen", None, _measured(found, text, genome, names, drawn))
        elif row not in places:
            failed = "; ".join(f"{name}: {error}" for name, error in found.visited[row].errors.items())
            raise NasctlError(f"Cannot mark {text}: it has no value in every objective ({failed}). Leave it out.")
        else:
            marks[row] = marks[row] if row in marks else Mark(name, "chosen", places[row])
    return list(marks.values())


def _network(text: str, store: Store, record: RunRecord) -> tuple[str, Genome]:
    """Return the name beside its point and the genome of a network that a user names."""
    space = registry.create("spaces", record.space)
    if (one := references(space).get(text.lower())) is not None:
        return text.lower(), one.genome
    _, genome = ids.resolve(text, store, record.space)
    genome = space.canonical(genome)
    return ids.encode(record.space, space.genes, genome), genome


def _measured(
    found: ReportSummary, text: str, genome: Genome, names: Sequence[str], drawn: Sequence[str]
) -> list[float]:
    """Return the values of a network that the run has not visited, NaN where only a module gives them, (M,).

    Args:
        found: The run.
        text: The network as the user names it.
        genome: Its genome.
        names: Names of the axes, (M,).
        drawn: Names of the axes that panels show.
    """
    record, run = found.record, found.run.name
    unknown = [name for name in drawn if name in record.columns and record.columns[name].cost != "network"]
    unknown += [name for name in drawn if name not in names]  # results of trainings
    if unknown:
        raise NasctlError(
            f"Cannot mark {text}: run {run} has not evaluated it, and {unknown[0]} takes more than its shapes. Draw"
            " costs alone, such as --x params --y macs, or mark a candidate of the run."
        )
    if len(drawn) < 2:
        raise NasctlError(
            f"Cannot mark {text}: run {run} has not evaluated it, and a single objective is drawn in the order of"
            " evaluation. Give two costs with --x and --y."
        )
    task = run_from_record(record).task
    metrics = {name: task.metrics[name] if name in task.metrics else make_objective(name)[1] for name in drawn}
    values = measure(replace(task, metrics=metrics, constraints=()), genome, {name: name for name in drawn})
    for name in drawn:
        if values[name].value is None:
            raise NasctlError(f"Cannot mark {text}: its {name} failed ({values[name].error}). Leave it out.")
    return [np.nan if name not in values else float(values[name].value or 0.0) for name in names]


def _results(found: ReportSummary, rows: Sequence[int]) -> TrainedPoints | None:
    """Return the axis of the results of trained candidates, and values and standard errors of the rows, (N,)."""
    trained = found.trained
    if trained is None or not trained.finished:
        return None
    share = trained.measure == "accuracy"
    axis = Axis(trained.name, "%" if share else "", "max" if share else "min", cost=False)
    genomes = [found.visited[k].genome for k in rows]
    values = np.array([[trained.value(one), trained.error(one)] for one in genomes], dtype=float)  # None becomes NaN
    return TrainedPoints(axis, *(values * (100 if share else 1)).reshape(-1, 2).T)


def _sentences(found: ReportSummary) -> list[str]:
    """Return the lines below the title: the constraints, and the recommended network with the reason."""
    bounds = found.record.bounds
    lines = [f"subject to {' and '.join(bounds)}"] if bounds else []
    if found.recommended is not None:
        lines.append(f"recommended: {found.ids[found.recommended]}, {found.why}")
    return lines


def _facts(found: ReportSummary) -> Iterator[tuple[str, str]]:
    """Yield the facts for the metadata of the file: the configuration, devices, versions and the command."""
    record, asked = found.record, found.record.asked
    yield "space", record.space
    yield from ((key, str(asked[key])) for key in ("searcher", "seed") if key in asked)
    if record.constraints:
        yield "constraints", ", ".join(map(str, record.constraints))
    yield "metrics", str(asked.get("setting", ""))
    yield from ((name, "; ".join(column.remarks)) for name, column in record.columns.items() if column.remarks)
    yield "versions", ", ".join(f"{name} {version}" for name, version in record.versions.items())
    if asked:
        yield "command", command_line(found.run.name, record, len(found.visited))[0]


def _warnings(found: ReportSummary) -> Iterator[str]:
    """Yield remarks that a reader must not miss: tables that are not validated, and published networks that differ."""
    for name, column in found.record.columns.items():
        # A picture has room for the warning, and not for the commands that follow it.
        yield from (f"{name}: {one.partition(';')[0]}" for one in column.remarks if "NOT VALIDATED" in one)
    space = registry.create("spaces", found.record.space)
    yield from differing_references(space, [found.visited[k].genome for k in found.reference_rows.values()])

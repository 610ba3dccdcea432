"""The picture of a run: its Pareto front among all evaluated candidates, as PNG, SVG or PDF."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nasctl.drawing.canvas import (
    HEIGHTS,
    LEGEND,
    NOTE,
    STYLE,
    TITLE,
    WIDTH,
    check_free,
    file_format,
    save,
    scale,
)
from nasctl.drawing.palette import BLUE, EVALUATED, LEADER, ORANGE, SUBTITLE, VERMILLION
from nasctl.drawing.pareto_layout import (
    NUMBER,
    ORDER,
    Axis,
    Panel,
    Picture,
    TrainedPoints,
    key_table,
    label_offsets,
    lay_out_run,
    shortest_prefixes,
)
from nasctl.errors import NasctlError

if TYPE_CHECKING:
    import matplotlib.axes
    from matplotlib.figure import Figure


MONO = 6.0  # points: font size of the key
LETTER = 0.602 * MONO / 72  # inches: width of a character of the key in DejaVu Sans Mono
LEADING = 1.35 * MONO / 72  # inches: height of a line of the key
LEGEND_COLUMNS = 4
CAP = 1.5  # points: half the width of the ends of an error bar
GAP = 4  # characters between columns of the key


def draw(
    path: Path | None,
    axes: Sequence[Axis],
    points: np.ndarray,
    front: np.ndarray,
    ids: Sequence[str],
    title: str,
    subtitle: str = "",
    others: Sequence[str] = (),
    feasible: np.ndarray | None = None,
    overwrite: bool = False,
    trained: TrainedPoints | None = None,
) -> Figure:
    """Draw a run with a panel for each cost and each metric; equal arguments make equal files.

    Args:
        path: Path of the picture, whose suffix is the format; None for no file.
        axes: The objectives, (M,).
        points: Values of all candidates that have every value, in natural units and in order of evaluation, (N, M).
        front: Whether a candidate is not dominated in all objectives, (N,).
        ids: Architecture ids of the candidates, (N,).
        title: Title with the names of the run and the device.
        subtitle: Further facts for the reader.
        others: More ids, such as those of other runs. The prefix of an id in the key is unique among these too.
        feasible: Whether a candidate satisfies all constraints, (N,); all do if None.
        overwrite: Whether an existing file may be replaced.
        trained: Results of trained candidates, which are ringed and have panels of their own.

    Returns:
        The figure.

    Raises:
        NasctlError: The suffix is no format, no candidate can be drawn, or the file cannot be written.
    """
    suffix = file_format(path) if path else ""
    if not len(points):
        raise NasctlError("no candidate of this run has a value in every objective, so there is nothing to draw yet")
    satisfied = np.ones(len(points), bool) if feasible is None else np.asarray(feasible, dtype=bool)
    if not satisfied.any():
        raise NasctlError("no candidate of this run holds its constraints, so there is no front to draw; loosen them")
    if path:
        check_free(path, overwrite)
    import matplotlib

    names = shortest_prefixes(ids, others)
    values, best = np.asarray(points, dtype=float), np.asarray(front, dtype=bool)
    shown = lay_out_run(axes, values, best, satisfied, names, trained)
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # settings of the user's matplotlibrc do not apply
        matplotlib.rcParams.update(STYLE)
        figure = _figure(shown, title, subtitle)
        if path:
            save(figure, path, suffix)
    return figure


def _figure(shown: Picture, title: str, subtitle: str) -> Figure:
    """Draw title, legend, panels and key from top to bottom; the key of a single panel is beside it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    across = {1: 1, 2: 2, 4: 2}.get(len(shown.panels), 3)
    down = -(-len(shown.panels) // across)
    table = key_table(shown)
    column = (len(table[0]) + GAP) * LETTER
    beside = len(shown.panels) == 1 and column < WIDTH / 2
    stacks = 1 if beside else max(1, int((WIDTH + GAP * LETTER) // column))
    rows = -(-(len(table) - 1) // stacks)
    notes = _notes(shown, subtitle)
    titles = textwrap.wrap(title, 90)
    over, below = TITLE * len(titles), NOTE * len(notes)
    legend = LEGEND * -(-_legend_entries(shown) // LEGEND_COLUMNS)
    head, foot = over + below + legend, 0 if beside else (rows + 2.5) * LEADING
    width, height = WIDTH - beside * column, head + HEIGHTS[across] * down + foot

    figure = Figure((WIDTH, height))
    FigureCanvasAgg(figure)
    box = (0, foot / height, width / WIDTH, 1 - (head + foot) / height)
    figure.set_layout_engine("constrained", rect=box, w_pad=0.02, h_pad=0.03, wspace=0.03)
    figure.text(0, 1, "\n".join(titles), va="top", size=8.5, weight="bold")
    figure.text(0, 1 - over / height, "\n".join(notes), va="top", size=6.5, color=SUBTITLE)
    areas = [figure.add_subplot(down, across, place) for place in range(1, len(shown.panels) + 1)]
    for area, panel in zip(areas, shown.panels, strict=True):
        _draw_panel(area, panel, shown)
    _legend(figure, 1 - (head - legend) / height)
    if beside:
        _write_key(figure, table, rows, width + GAP * LETTER, column, height - head)
    else:
        _write_key(figure, table, rows, 0, column, foot - 1.5 * LEADING)
    figure.draw_without_rendering()  # runs the layout, because numbers are placed relative to points
    figure.set_layout_engine("none")
    for area, panel in zip(areas, shown.panels, strict=True):
        _number(area, panel, shown)
    return figure


def _legend(figure: Figure, top: float) -> None:
    entries = figure.axes[0].get_legend_handles_labels()
    spaces: Any = {"borderpad": 0.2, "borderaxespad": 0, "handlelength": 1.4, "handletextpad": 0.5}
    figure.legend(*entries, loc="upper left", bbox_to_anchor=(0, top), ncols=LEGEND_COLUMNS, frameon=False, **spaces)


def _legend_entries(shown: Picture) -> int:
    """Return the number of entries of the legend: kinds of points, and the front of a panel."""
    kinds = [shown.feasible.any(), not shown.feasible.all(), shown.objectives > 2, shown.trained is not None]
    return 1 + sum(map(bool, kinds))


def _write_key(figure: Figure, table: Sequence[str], rows: int, left: float, column: float, top: float) -> None:
    """Write the key in columns of `rows` rows, each with the headings; `left`, `column` and `top` are in inches."""
    width, height = figure.get_size_inches()
    for start in range(1, len(table), rows):
        for row, line in enumerate([table[0], *table[start : start + rows]]):
            text = line.replace(" ", "\N{NO-BREAK SPACE}")  # SVG viewers merge other spaces
            at = (left + (start - 1) // rows * column) / width, (top - row * LEADING) / height
            figure.text(*at, text, family="monospace", size=MONO)


def _notes(shown: Picture, subtitle: str) -> list[str]:
    names = [axis.name for axis in shown.axes]
    left = "; ".join(f"{names[y]} against {names[x]}" for x, y in shown.omitted)
    text = f"{subtitle}\nNot drawn: {left}." if left else subtitle
    return [line for whole in text.splitlines() for line in textwrap.wrap(whole, 130)]


def _draw_panel(area: matplotlib.axes.Axes, panel: Panel, shown: Picture) -> None:
    """Draw all points in grey, the front in all objectives in blue, and the front in the panel's two as a staircase."""
    if panel.y == shown.objectives:
        _draw_trained_panel(area, panel, shown)
        return
    x, y, count = shown.points[:, panel.x], shown.points[:, panel.y], shown.objectives
    many = len(x) > 5000  # so many points as vectors make files that viewers open slowly
    for style, width, kept, called in (
        ("o", 0, shown.feasible, "evaluated"),
        ("x", 0.5, ~shown.feasible, "constraint broken"),
    ):
        if kept.any():
            called = f"{called} ({kept.sum()})"
            area.plot(x[kept], y[kept], style, ms=2.2, mew=width, color=EVALUATED, rasterized=many, label=called)
    own = f"Pareto front ({len(panel.front)})"
    if ORDER in shown.axes:
        own = "best so far"
    elif count > 2:
        own = "non-dominated in the two objectives of the panel"
        called = f"non-dominated in all {count} objectives ({shown.front.sum()})"
        area.plot(x[shown.front], y[shown.front], "o", ms=2.6, mew=0, color=BLUE, label=called)
    if shown.trained is not None:
        rows = np.isfinite(shown.trained.values)
        ring: Any = {"ms": 6.0, "mew": 0.8, "mfc": "none", "mec": VERMILLION}
        area.plot(x[rows], y[rows], "o", **ring, label=f"trained ({rows.sum()})")
    scale(area, shown.axes[panel.x], x, "x")
    scale(area, shown.axes[panel.y], y, "y")
    _draw_stairs(area, panel, shown, own)


def _draw_trained_panel(area: matplotlib.axes.Axes, panel: Panel, shown: Picture) -> None:
    """Draw the results of trained candidates with their standard errors, and the front among them as a staircase."""
    assert shown.trained is not None
    rows = np.isfinite(shown.trained.values) & np.isfinite(shown.points[:, panel.x])
    x, y = shown.points[rows, panel.x], shown.trained.values[rows]
    bars: Any = {"fmt": "none", "ecolor": VERMILLION, "elinewidth": 0.7, "capsize": CAP, "capthick": 0.7}
    area.errorbar(x, y, np.nan_to_num(shown.trained.errors[rows]), **bars)
    area.plot(x, y, "o", ms=3.2, mew=0, color=VERMILLION)
    scale(area, shown.axes[panel.x], x, "x")
    scale(area, shown.axes[panel.y], y, "y")
    _draw_stairs(area, panel, shown, "")


def _draw_stairs(area: matplotlib.axes.Axes, panel: Panel, shown: Picture, called: str) -> None:
    """Draw the front of a panel as a staircase around the dominated area, under a name of the legend."""
    x, y = shown.points[:, panel.x], shown.points[:, panel.y]
    area.margins(0.07)
    # The ends of the staircase continue to the worse sides of the panel, around the dominated area.
    (left, right), (bottom, top) = area.get_xlim(), area.get_ylim()
    area.set(xlim=(left, right), ylim=(bottom, top))
    worst_x = right if shown.axes[panel.x].direction == "min" else left
    worst_y = top if shown.axes[panel.y].direction == "min" else bottom
    steps = [x[panel.front[0]], *x[panel.front], worst_x], [worst_y, *y[panel.front], y[panel.front[-1]]]
    line: Any = {"color": "black", "lw": 0.7}
    marker: Any = {"marker": "D", "ms": 3.2, "mew": 0.5, "mec": "black", "mfc": ORANGE}
    area.plot(*steps, **line, drawstyle="steps-post")
    area.plot(x[panel.front], y[panel.front], ls="none", **marker)
    if called:
        area.plot([], [], **line, **marker, label=called)


def _number(area: matplotlib.axes.Axes, panel: Panel, shown: Picture) -> None:
    """Write numbers beside the points of the panel's front that are in the key, first those that this panel labels."""
    figure = area.get_figure(root=True)
    assert figure is not None
    point = figure.dpi / 72  # pixels
    front = shown.points[panel.front][:, [panel.x, panel.y]]
    places = (area.transData.transform(front) - area.bbox.p0) / point
    numbers = {k: str(number) for number, k in enumerate(shown.labelled, start=1)}
    ranked = sorted(range(len(front)), key=lambda row: panel.front[row] not in panel.labelled)
    texts = {row: numbers[k] for row in ranked if (k := int(panel.front[row])) in numbers}
    towards = [-1 if shown.axes[k].direction == "min" else 1 for k in (panel.x, panel.y)]
    size = (area.bbox.width / point, area.bbox.height / point)
    bars = None
    if shown.trained is not None and panel.y == shown.objectives:
        x, y, error = shown.points[:, panel.x], shown.trained.values, np.nan_to_num(shown.trained.errors)
        ends = [area.transData.transform(np.column_stack([x, y + sign * error])[np.isfinite(y)]) for sign in (-1, 1)]
        bars = (np.hstack(ends) - np.tile(area.bbox.p0, 2)) / point + [-CAP, 0, CAP, 0]
    for row, offset in label_offsets(places, texts, towards, size, bars).items():
        area.annotate(
            texts[row],
            (front[row, 0], front[row, 1]),
            offset,
            textcoords="offset points",
            ha="center",
            va="center_baseline",
            size=NUMBER,
            arrowprops={"arrowstyle": "-", "lw": 0.4, "color": LEADER, "shrinkA": 0, "shrinkB": 2.4},
        )

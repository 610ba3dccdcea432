"""The picture of a run: its front against all that was evaluated, as PNG, SVG or PDF."""

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
from nasctl.drawing.palette import BLUE, EVALUATED, LEADER, ORANGE, SUBTITLE
from nasctl.drawing.pareto_layout import NUMBER, ORDER, Axis, Panel, Picture, key, offsets, picture, shortest_prefixes
from nasctl.errors import NasctlError

if TYPE_CHECKING:
    import matplotlib.axes
    from matplotlib.figure import Figure


MONO = 6.0  # points, of the key

LETTER, LEADING = 0.602 * MONO / 72, 1.35 * MONO / 72  # inches: a letter of the key, in DejaVu Sans Mono, and a line

GAP = 4  # letters between columns of the key


def draw(
    path: Path,
    axes: Sequence[Axis],
    points: np.ndarray,
    front: np.ndarray,
    ids: Sequence[str],
    title: str,
    subtitle: str = "",
    others: Sequence[str] = (),
    feasible: np.ndarray | None = None,
    overwrite: bool = False,
) -> None:
    """Draw a run, for every pair of objectives that matters; the same arguments make the same file.

    Args:
        path: The file; its suffix says the format.
        axes: The objectives, (M,).
        points: All candidates that have every value, in the order of their evaluation and in natural units, (N, M).
        front: Which of them nothing dominates in all objectives, (N,).
        ids: Their architecture ids, (N,).
        title: Names the run and the device.
        subtitle: What else a reader has to know.
        others: More ids, such as those of other runs, that the beginning of an id in the key must not stand for.
        feasible: Which of them hold all constraints, (N,); all, unless it is given.
        overwrite: Whether a file of that name may be replaced.

    Raises:
        NasctlError: The suffix is no format, there is nothing to draw, or the file cannot be written.
    """
    suffix = file_format(path)
    if not len(points):
        raise NasctlError("no candidate of this run has a value in every objective, so there is nothing to draw yet")
    held = np.ones(len(points), bool) if feasible is None else np.asarray(feasible, dtype=bool)
    if not held.any():
        raise NasctlError("no candidate of this run holds its constraints, so there is no front to draw; loosen them")
    check_free(path, overwrite)
    import matplotlib

    names = shortest_prefixes(ids, others)
    shown = picture(axes, np.asarray(points, dtype=float), np.asarray(front, dtype=bool), held, names)
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # what a person set for other pictures changes nothing here
        matplotlib.rcParams.update(STYLE)
        save(_figure(shown, title, subtitle), path, suffix)


def _figure(shown: Picture, title: str, subtitle: str) -> Figure:
    """From top to bottom: title, legend, panels, key; the key stands beside a panel that is alone."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    across = {1: 1, 2: 2, 4: 2}.get(len(shown.panels), 3)
    down = -(-len(shown.panels) // across)
    table = key(shown)
    column = (len(table[0]) + GAP) * LETTER
    beside = len(shown.panels) == 1 and column < WIDTH / 2
    stacks = 1 if beside else max(1, int((WIDTH + GAP * LETTER) // column))
    rows = -(-(len(table) - 1) // stacks)
    notes = _notes(shown, subtitle)
    titles = textwrap.wrap(title, 90)
    over, below = TITLE * len(titles), NOTE * len(notes)
    head, foot = over + below + LEGEND, 0 if beside else (rows + 2.5) * LEADING
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
    _legend(figure, 1 - (head - LEGEND) / height)
    if beside:
        _write_key(figure, table, rows, width + GAP * LETTER, column, height - head)
    else:
        _write_key(figure, table, rows, 0, column, foot - 1.5 * LEADING)
    figure.draw_without_rendering()  # lays out; numbers are placed where the points have come to lie
    figure.set_layout_engine("none")
    for area, panel in zip(areas, shown.panels, strict=True):
        _number(area, panel, shown)
    return figure


def _legend(figure: Figure, top: float) -> None:
    entries = figure.axes[0].get_legend_handles_labels()
    spaces: Any = {"borderpad": 0.2, "borderaxespad": 0, "handlelength": 1.4, "handletextpad": 0.5}
    figure.legend(*entries, loc="upper left", bbox_to_anchor=(0, top), ncols=4, frameon=False, **spaces)


def _write_key(figure: Figure, table: Sequence[str], rows: int, left: float, column: float, top: float) -> None:
    """The key in columns of so many rows, each under the headings; places are in inches."""
    width, height = figure.get_size_inches()
    for start in range(1, len(table), rows):
        for row, line in enumerate([table[0], *table[start : start + rows]]):
            text = line.replace(" ", "\N{NO-BREAK SPACE}")  # SVG runs other spaces together
            at = (left + (start - 1) // rows * column) / width, (top - row * LEADING) / height
            figure.text(*at, text, family="monospace", size=MONO)


def _notes(shown: Picture, subtitle: str) -> list[str]:
    names = [axis.name for axis in shown.axes]
    left = "; ".join(f"{names[y]} against {names[x]}" for x, y in shown.left)
    text = f"{subtitle}\nNot drawn: {left}." if left else subtitle
    return [line for whole in text.splitlines() for line in textwrap.wrap(whole, 130)]


def _draw_panel(area: matplotlib.axes.Axes, panel: Panel, shown: Picture) -> None:
    """All points in grey, the front of the search in blue, and that of the panel's two objectives as a staircase."""
    x, y, count = shown.points[:, panel.x], shown.points[:, panel.y], len(shown.axes)
    many = len(x) > 5000  # drawn as vectors they make a file that readers choke on
    for style, width, kept, called in (("o", 0, shown.held, "evaluated"), ("x", 0.5, ~shown.held, "constraint broken")):
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
    scale(area, shown.axes[panel.x], x, "x")
    scale(area, shown.axes[panel.y], y, "y")
    area.margins(0.07)
    # Beyond its ends the staircase goes on to the worse side of the panel, around all that its points dominate.
    (left, right), (bottom, top) = area.get_xlim(), area.get_ylim()
    area.set(xlim=(left, right), ylim=(bottom, top))
    worst_x = right if shown.axes[panel.x].direction == "min" else left
    worst_y = top if shown.axes[panel.y].direction == "min" else bottom
    steps = [x[panel.front[0]], *x[panel.front], worst_x], [worst_y, *y[panel.front], y[panel.front[-1]]]
    line: Any = {"color": "black", "lw": 0.7}
    marker: Any = {"marker": "D", "ms": 3.2, "mew": 0.5, "mec": "black", "mfc": ORANGE}
    area.plot(*steps, **line, drawstyle="steps-post")
    area.plot(x[panel.front], y[panel.front], ls="none", **marker)
    area.plot([], [], **line, **marker, label=own)


def _number(area: matplotlib.axes.Axes, panel: Panel, shown: Picture) -> None:
    """Numbers beside the points of the panel's front that stand in the key, those that it labels itself first."""
    figure = area.get_figure(root=True)
    assert figure is not None
    point = figure.dpi / 72  # pixels
    front = shown.points[panel.front][:, [panel.x, panel.y]]
    places = (area.transData.transform(front) - area.bbox.p0) / point
    numbers = {k: str(number) for number, k in enumerate(shown.told, start=1)}
    ranked = sorted(range(len(front)), key=lambda row: panel.front[row] not in panel.labelled)
    texts = {row: numbers[k] for row in ranked if (k := int(panel.front[row])) in numbers}
    towards = [-1 if shown.axes[k].direction == "min" else 1 for k in (panel.x, panel.y)]
    size = (area.bbox.width / point, area.bbox.height / point)
    for row, offset in offsets(places, texts, towards, size).items():
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

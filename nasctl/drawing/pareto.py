"""The picture of a run: its Pareto front among all evaluated candidates, as PNG, SVG or PDF."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nasctl.drawing.canvas import (
    AXIS_TITLE,
    HEIGHTS,
    LEGEND,
    NOTE,
    SHORT_TITLE,
    STYLE,
    TITLE,
    WIDTH,
    check_free,
    file_format,
    save,
    scale,
    thin_ticks,
)
from nasctl.drawing.labels import NUMBER, front_boxes, label_offsets, name_offsets, text_width
from nasctl.drawing.palette import BLUE, CAPTION, EVALUATED, GREEN, LEADER, ORANGE, PURPLE, SUBTITLE, VERMILLION
from nasctl.drawing.pareto_layout import (
    ORDER,
    PLAIN,
    Axis,
    MarkKind,
    Panel,
    Picture,
    TrainedPoints,
    View,
    key_table,
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
LEGEND_COLUMNS = 5  # most columns of the legend
LEGEND_STYLE: dict[str, Any] = {
    "loc": "upper left",
    "frameon": False,
    "fontsize": 6.5,
    "borderpad": 0.2,
    "borderaxespad": 0,
    "handlelength": 1.4,
    "handletextpad": 0.5,
}
CAP = 1.5  # points: half the width of the ends of an error bar
GAP = 4  # characters between columns of the key
LISTED = 3  # most pairs without a panel that are listed
MANY = 300  # points of a front, from which its markers are small

# Marker, size in points and fill of marked networks.
MARKS: dict[MarkKind, tuple[str, float, str]] = {
    "reference": ("s", 4.2, PURPLE),
    "chosen": ("^", 5.0, GREEN),
    "recommended": ("*", 8.5, VERMILLION),
}


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
    view: View = PLAIN,
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
        view: Panels, marked networks, metadata and footer.

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
    shown = lay_out_run(axes, values, best, satisfied, names, trained, view)
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # settings of the user's matplotlibrc do not apply
        matplotlib.rcParams.update(STYLE)
        figure = _figure(shown, title, subtitle, view.footer)
        if path:
            save(figure, path, suffix, {"title": title, **view.facts})
    return figure


def _figure(shown: Picture, title: str, subtitle: str, footer: Sequence[str] = ()) -> Figure:
    """Draw title, legend, panels and key from top to bottom; the key of a single panel is beside it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    across = {1: 1, 2: 2, 4: 2}.get(len(shown.panels), 3)
    down = -(-len(shown.panels) // across)
    table = key_table(shown, int(WIDTH / LETTER))
    column, heads = (len(table[-1]) + GAP) * LETTER, table[0].count("\n") + 1
    beside = len(shown.panels) == 1 and column < WIDTH / 2
    stacks = 1 if beside else max(1, int((WIDTH + GAP * LETTER) // column))
    rows = -(-(len(table) - 1) // stacks)
    notes, ends = _notes(shown, subtitle), [line for text in footer for line in textwrap.wrap(text, 150)]
    titles = textwrap.wrap(title, 90)
    figure = Figure((WIDTH, WIDTH))
    FigureCanvasAgg(figure)
    areas = [figure.add_subplot(down, across, place) for place in range(1, len(shown.panels) + 1)]
    for area, panel in zip(areas, shown.panels, strict=True):
        _draw_panel(area, panel, shown)
    handles = {name: handle for area in areas for handle, name in zip(*area.get_legend_handles_labels(), strict=True)}
    columns = _legend_columns(list(handles))
    over, below, legend = TITLE * len(titles), NOTE * len(notes), LEGEND * -(-len(handles) // columns)
    head, foot = over + below + legend, 0 if beside else (rows + heads + 1.5) * LEADING
    foot += NOTE * len(ends)
    width, height = WIDTH - beside * column, head + HEIGHTS[across] * down + foot
    figure.set_size_inches(WIDTH, height)
    box = (0, foot / height, width / WIDTH, 1 - (head + foot) / height)
    figure.set_layout_engine("constrained", rect=box, w_pad=0.02, h_pad=0.03, wspace=0.03)
    figure.text(0, 1, "\n".join(titles), va="top", size=8.5, weight="bold")
    figure.text(0, 1 - over / height, "\n".join(notes), va="top", size=6.5, color=SUBTITLE)
    at = (0, 1 - (head - legend) / height)
    figure.legend(handles.values(), handles.keys(), bbox_to_anchor=at, ncols=columns, **LEGEND_STYLE)
    if beside:
        _write_key(figure, table, rows, width + GAP * LETTER, column, height - head)
    else:
        _write_key(figure, table, rows, 0, column, foot - 1.5 * LEADING)
    figure.text(0, 0, "\n".join(ends), va="bottom", size=5.5, color=CAPTION)
    figure.draw_without_rendering()  # runs the layout, because numbers are placed relative to points
    if thin_ticks(figure):
        figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for area, panel in zip(areas, shown.panels, strict=True):
        _label(area, panel, shown)
    return figure


def _legend_columns(names: Sequence[str]) -> int:
    """Return the most columns in which the entries of the legend are no wider than the picture."""
    size = LEGEND_STYLE["fontsize"]
    for columns in range(min(LEGEND_COLUMNS, len(names)), 1, -1):
        shares = np.array_split([text_width(name, size) for name in names], columns)  # as matplotlib does
        widths = [float(share.max()) for share in shares]
        if sum(widths) + len(widths) * 4.5 * size <= WIDTH * 72:  # with markers and the space between columns
            return columns
    return 1


def _write_key(figure: Figure, table: Sequence[str], rows: int, left: float, column: float, top: float) -> None:
    """Write the key in columns of `rows` rows, each with the headings; `left`, `column` and `top` are in inches."""
    width, height = figure.get_size_inches()
    for start in range(1, len(table), rows):
        for row, line in enumerate([*table[0].split("\n"), *table[start : start + rows]]):
            text = line.replace(" ", "\N{NO-BREAK SPACE}")  # SVG viewers merge other spaces
            at = (left + (start - 1) // rows * column) / width, (top - row * LEADING) / height
            figure.text(*at, text, family="monospace", size=MONO)


def _notes(shown: Picture, subtitle: str) -> list[str]:
    names = [axis.name for axis in shown.axes]
    left = "; ".join(f"{names[y]} against {names[x]}" for x, y in shown.omitted[:LISTED])
    if len(shown.omitted) > LISTED:
        left = f"{len(shown.omitted)} more pairs of objectives; --x and --y choose one"
    text = f"{subtitle}\nNot drawn: {left}." if left else subtitle
    return [line for whole in text.splitlines() for line in textwrap.wrap(whole, 130)]


def _draw_panel(area: matplotlib.axes.Axes, panel: Panel, shown: Picture) -> None:
    """Draw all points in grey, the front in all objectives in blue, and the front in the panel's two as a staircase."""
    if panel.y == shown.objectives:
        _draw_trained_panel(area, panel, shown)
        return
    x, y = shown.points[:, panel.x], shown.points[:, panel.y]
    many = len(x) > 5000  # so many points as vectors make files that viewers open slowly
    for style, width, kept, called in (
        ("o", 0, shown.feasible, "evaluated"),
        ("x", 0.5, ~shown.feasible, "constraint broken"),
    ):
        if kept.any():
            called = f"{called} ({kept.sum()})"
            area.plot(x[kept], y[kept], style, ms=2.2, mew=width, color=EVALUATED, rasterized=many, label=called)
    own = f"Pareto front ({_counted(shown.points[panel.front][:, [panel.x, panel.y]])})"
    if ORDER in shown.axes:
        own = "best so far"
    elif shown.projected:
        own = "non-dominated in the two objectives of the panel"
        every = f"all {shown.optimised} objectives" if shown.optimised > 1 else "the objective"
        called = f"non-dominated in {every} ({shown.front.sum()})"
        area.plot(x[shown.front], y[shown.front], "o", ms=2.6, mew=0, color=BLUE, rasterized=many, label=called)
    if shown.trained is not None:
        rows = np.isfinite(shown.trained.values)
        ring: Any = {"ms": 6.0, "mew": 0.8, "mfc": "none", "mec": VERMILLION}
        area.plot(x[rows], y[rows], "o", **ring, label=f"trained ({rows.sum()})")
    _finish(area, panel, shown, own)


def _finish(area: matplotlib.axes.Axes, panel: Panel, shown: Picture, called: str) -> None:
    """Draw marked networks, set the scales of a panel, and draw its front under a name of the legend."""
    for kind, (marker, size, fill) in MARKS.items():
        rows = [k for k, mark in enumerate(shown.marks) if mark.kind == kind]
        if rows:
            at = shown.marked[rows][:, [panel.x, panel.y]]
            plural = "s" if len(rows) > 1 and kind == "reference" else ""
            name = {"recommended": "recommended", "reference": f"reference network{plural}", "chosen": "marked"}[kind]
            style: Any = {"ms": size, "mew": 0.6, "mec": "black", "mfc": fill, "zorder": 4}
            area.plot(*at.T, marker, **style, label=name)
    title = SHORT_TITLE if len(shown.panels) > 2 else AXIS_TITLE
    for letter, column in (("x", panel.x), ("y", panel.y)):
        values = np.concatenate([shown.points[:, column], shown.marked[:, column]])
        scale(area, shown.axes[column], values[np.isfinite(values)], "x" if letter == "x" else "y", title)
    _draw_stairs(area, panel, shown, called)


def _counted(points: np.ndarray) -> str:
    """Return the number of networks of a front, (F, 2), and the number of different points if it is smaller."""
    different = len(np.unique(points, axis=0))
    return str(len(points)) if different == len(points) else f"{len(points)} networks, {different} different"


def _draw_trained_panel(area: matplotlib.axes.Axes, panel: Panel, shown: Picture) -> None:
    """Draw the results of trained candidates with their standard errors, and the front among them as a staircase."""
    assert shown.trained is not None
    rows = np.isfinite(shown.trained.values) & np.isfinite(shown.points[:, panel.x])
    x, y = shown.points[rows, panel.x], shown.trained.values[rows]
    bars: Any = {"fmt": "none", "ecolor": VERMILLION, "elinewidth": 0.7, "capsize": CAP, "capthick": 0.7}
    area.errorbar(x, y, np.nan_to_num(shown.trained.errors[rows]), **bars)
    area.plot(x, y, "o", ms=3.2, mew=0, color=VERMILLION)
    _finish(area, panel, shown, "")


def _draw_stairs(area: matplotlib.axes.Axes, panel: Panel, shown: Picture, called: str) -> None:
    """Draw the front of a panel as a staircase around the dominated area, under a name of the legend."""
    x, y = shown.points[:, panel.x], shown.points[:, panel.y]
    area.margins(0.07)
    # The ends of the staircase continue to the worse sides of the panel, around the dominated area.
    (left, right), (bottom, top) = area.get_xlim(), area.get_ylim()
    area.set(xlim=(left, right), ylim=(bottom, top))
    worst_x = right if shown.axes[panel.x].direction == "min" else left
    worst_y = top if shown.axes[panel.y].direction == "min" else bottom
    if not len(panel.front):  # no candidate has both values
        return
    many = len(panel.front) > MANY
    steps = [x[panel.front[0]], *x[panel.front], worst_x], [worst_y, *y[panel.front], y[panel.front[-1]]]
    line: Any = {"color": "black", "lw": 0.7}
    marker: Any = {"marker": "D", "mec": "black", "mfc": ORANGE, "rasterized": many}
    marker |= {"ms": 1.6, "mew": 0.0} if many else {"ms": 3.2, "mew": 0.5}
    area.plot(*steps, **line, drawstyle="steps-post")
    area.plot(x[panel.front], y[panel.front], ls="none", **marker)
    if called:
        area.plot([], [], **line, **marker, label=called)


def _label(area: matplotlib.axes.Axes, panel: Panel, shown: Picture) -> None:
    """Write the names of marked networks beside their points, then numbers beside the points that are in the key."""
    figure = area.get_figure(root=True)
    assert figure is not None
    point = figure.dpi / 72  # pixels
    columns = [panel.x, panel.y]

    def places(values: np.ndarray) -> np.ndarray:
        return np.asarray((area.transData.transform(values) - area.bbox.p0) / point)

    towards = [-1 if shown.axes[k].direction == "min" else 1 for k in columns]
    size = (area.bbox.width / point, area.bbox.height / point)
    front, marked = shown.points[panel.front][:, columns], shown.marked[:, columns]
    taken = np.vstack([_error_bars(area, panel, shown), np.empty((0, 4))])
    stairs = front_boxes(places(front), towards, size) if len(front) else np.empty((0, 4))
    rows = [k for k in range(len(marked)) if np.isfinite(marked[k]).all()]
    rows.sort(key=lambda k: shown.marks[k].kind != "recommended")
    if rows:
        both = shown.points[:, columns]
        crowd = places(both[np.isfinite(both).all(axis=1)])
        names = [(shown.marks[k].name, shown.letters[k]) for k in rows]
        where = places(marked[rows])
        found, boxes = name_offsets(where, names, towards, size, np.vstack([stairs, taken]), crowd, text_width)
        for k, one in zip(rows, found, strict=True):
            if one is not None:
                _write(area, one[0], marked[k], one[1], shrink=MARKS[shown.marks[k].kind][1] / 2)
        taken = np.vstack([taken, boxes, np.hstack([where - 3, where + 3])])
    if not len(front):
        return
    numbers = {k: str(number) for number, k in enumerate(shown.labelled, start=1)}
    ranked = sorted(range(len(front)), key=lambda row: panel.front[row] not in panel.labelled)
    texts = {row: numbers[k] for row in ranked if (k := int(panel.front[row])) in numbers}
    for row, offset in label_offsets(places(front), texts, towards, size, taken).items():
        _write(area, texts[row], front[row], offset)


def _write(
    area: matplotlib.axes.Axes, text: str, at: np.ndarray, offset: tuple[float, float], shrink: float = 2.4
) -> None:
    """Write a text at an offset in points from a position, with a line to the position."""
    area.annotate(
        text,
        (float(at[0]), float(at[1])),
        offset,
        textcoords="offset points",
        ha="center",
        va="center_baseline" if text.isdigit() else "center",
        size=NUMBER,
        zorder=5,
        bbox=None if text.isdigit() else {"fc": "white", "ec": "none", "alpha": 0.75, "pad": 0.4},
        arrowprops={"arrowstyle": "-", "lw": 0.4, "color": LEADER, "shrinkA": 0, "shrinkB": shrink},
    )


def _error_bars(area: matplotlib.axes.Axes, panel: Panel, shown: Picture) -> np.ndarray:
    """Return the boxes of the error bars of a panel in points from its corner: left, bottom, right, top, (B, 4)."""
    figure = area.get_figure(root=True)
    if shown.trained is None or panel.y != shown.objectives or figure is None:
        return np.empty((0, 4))
    x, y, error = shown.points[:, panel.x], shown.trained.values, np.nan_to_num(shown.trained.errors)
    ends = [area.transData.transform(np.column_stack([x, y + sign * error])[np.isfinite(y)]) for sign in (-1, 1)]
    boxes = (np.hstack(ends) - np.tile(area.bbox.p0, 2)) / (figure.dpi / 72) + [-CAP, 0, CAP, 0]
    return np.asarray(boxes)

"""The picture of a comparison of runs: their fronts in one panel, and their hypervolumes over the evaluations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nasctl import registry
from nasctl.analysis.compare_runs import ComparedRun, RunComparison
from nasctl.drawing.canvas import NOTE, TITLE, WIDTH, canvas, check_free, scale
from nasctl.drawing.palette import SERIES, SUBTITLE
from nasctl.drawing.pareto_layout import Axis, non_dominated, pairs
from nasctl.errors import NasctlError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = "os^Dv<>"  # one per run, so that runs differ in greyscale too
HEIGHT = 2.9  # height of the panels in inches
ENTRY = 0.15  # height of a line of the legend in inches


def overlay(path: Path, compared: RunComparison, overwrite: bool = False) -> None:
    """Draw the comparison of runs. With a single objective there is no front, so only the hypervolume is drawn.

    Args:
        path: File to write; its suffix selects the format.
        compared: Comparison of at most seven runs.
        overwrite: Replace an existing file.

    Raises:
        NasctlError: The suffix is no known format, there are too many runs, or the file cannot be written.
    """
    check_free(path, overwrite)
    if len(compared.sides) > len(SERIES):
        raise NasctlError(f"a picture shows {len(SERIES)} runs at most; leave some out, or leave --plot out")
    axes = _axes(compared)
    shown = pairs(axes)[:1]
    head = TITLE + NOTE + ENTRY * len(compared.sides) + 0.1
    with canvas(path, WIDTH, HEIGHT + head) as figure:
        box = (0, 0, 1, HEIGHT / (HEIGHT + head))
        figure.set_layout_engine("constrained", rect=box, w_pad=0.02, h_pad=0.03, wspace=0.05)
        areas = figure.subplots(1, 1 + len(shown), squeeze=False)[0]
        for x, y in shown:
            _fronts(areas[0], compared, axes, x, y)
        _volumes(areas[-1], compared)
        entries = areas[-1].get_legend_handles_labels()
        title = f"{registry.normal('spaces', compared.sides[0].record.space)}: {len(compared.sides)} runs on one scale"
        figure.text(0, 1, title, va="top", size=8.5, weight="bold")
        note = "small, hollow: non-dominated in all objectives; lines: non-dominated in the two drawn"
        note = note if len(axes) > 2 else "lines: the fronts"
        figure.text(0, 1 - TITLE / (HEIGHT + head), note, va="top", size=6.5, color=SUBTITLE)
        at = (0, 1 - (TITLE + NOTE) / (HEIGHT + head))
        figure.legend(*entries, loc="upper left", bbox_to_anchor=at, frameon=False, borderpad=0.2, borderaxespad=0)


def _axes(compared: RunComparison) -> list[Axis]:
    """Return the axes of the objectives, (M,)."""
    columns = compared.sides[0].record.columns
    return [
        Axis(goal.name, columns[goal.name].unit, goal.direction, goal.cost == "network", goal.transform)
        for goal in compared.sides[0].goals
    ]


def _fronts(area: Axes, compared: RunComparison, axes: list[Axis], x: int, y: int) -> None:
    """Draw each run's front in two objectives, with a staircase through the points not dominated in these two."""
    values = [_values(side) for side in compared.sides]
    for points, side, colour, marker in zip(values, compared.sides, SERIES, MARKERS, strict=False):
        look: dict[str, Any] = {"color": colour, "marker": marker}
        if len(axes) > 2:
            area.plot(points[:, x], points[:, y], ls="none", ms=2.2, mew=0.5, mfc="none", **look)
        stairs = points[non_dominated(side.best[:, [x, y]])][:, [x, y]]
        area.plot(*stairs.T, drawstyle="steps-post", lw=0.8, ms=3.2, mew=0, alpha=0.85, **look)
    everything = np.vstack(values)
    scale(area, axes[x], everything[:, x], "x")
    scale(area, axes[y], everything[:, y], "y")
    area.margins(0.05)


def _volumes(area: Axes, compared: RunComparison) -> None:
    """Draw the hypervolume of each run over its evaluations."""
    for side, curve, colour, marker in zip(compared.sides, compared.curves, SERIES, MARKERS, strict=False):
        asked = side.record.asked
        called = (
            f"{side.name}: {registry.plugin_of(asked['searcher'])}, seed {asked['seed']}, front of {len(side.front)}"
        )
        counts, volumes = list(curve), [volume / compared.box for volume in curve.values()]
        every = max(1, len(counts) // 8)
        area.plot(counts, volumes, color=colour, marker=marker, markevery=every, ms=3.2, mew=0, lw=0.9, label=called)
    better = "\N{EM SPACE}better \N{RIGHTWARDS ARROW}"
    area.set(xlabel="evaluations", ylabel=f"hypervolume, share of the ideal box{better}")


def _values(side: ComparedRun) -> np.ndarray:
    """Return the front in natural units, (A, M)."""
    return np.array([[one.values[goal.name] for goal in side.goals] for one in side.front])

"""The picture of a comparison of searchers: indicators over evaluations, with bands over seeds."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nasctl.bench.compare import BASELINE, SearcherComparison
from nasctl.drawing import palette
from nasctl.drawing.canvas import HEIGHTS, TITLE, WIDTH, canvas
from nasctl.drawing.palette import SERIES
from nasctl.pareto.hypervolume import REFERENCE

if TYPE_CHECKING:
    import matplotlib.axes

SHOWN = {"hv": f"HV at reference {REFERENCE}", "igd_plus": "IGD+"}  # drawn indicators and their axis labels
DASHES = ("-", "--", ":")  # dashes from the eighth searcher on, when the colours begin again


def draw(path: Path, comparison: SearcherComparison, title: str) -> None:
    """Draw a panel for each indicator and scene: means over seeds, with bands from the first to the third quartile.

    Args:
        path: File to write; its suffix selects the format.
        comparison: Comparison to draw.
        title: Title of the picture.

    Raises:
        NasctlError: The suffix is no known format, or the file cannot be written.
    """
    scenes, across = list(comparison.scenes), min(3, len(comparison.scenes))
    down = -(-len(scenes) // across) * len(SHOWN)
    height = HEIGHTS[across] * down + TITLE + 0.2 * (1 + len(comparison.runs) // 4)
    with canvas(path, WIDTH, height) as figure:
        areas = figure.subplots(down, across, squeeze=False)
        for place, scene in enumerate(scenes):
            for k, (indicator, label) in enumerate(SHOWN.items()):
                area = areas[place // across * len(SHOWN) + k, place % across]
                _draw_indicator(area, comparison, scene, indicator)
                area.set(title=scene if k == 0 else "", ylabel=label, xlabel="evaluations")
        for unused in areas[-len(SHOWN) :, (len(scenes) - 1) % across + 1 :].flat:
            unused.set_visible(False)
        lines, names = areas[0, 0].get_legend_handles_labels()
        figure.legend(lines, names, loc="outside lower center", ncols=min(4, len(names)), frameon=False)
        figure.suptitle(title, x=0, ha="left", size=8.5, weight="bold")


def _draw_indicator(area: matplotlib.axes.Axes, comparison: SearcherComparison, scene: str, indicator: str) -> None:
    """Draw one indicator of all searchers in one scene, and the value of the exhaustive front as a dotted line."""
    coloured = 0
    for searcher in comparison.runs:
        evaluations, curves = comparison.curves(searcher, scene)
        low, high = np.percentile(curves[indicator], [25, 75], axis=0)
        colour, dash = palette.BASELINE, "-"
        if searcher != BASELINE:
            colour, dash = SERIES[coloured % len(SERIES)], DASHES[coloured // len(SERIES) % len(DASHES)]
            coloured += 1
        area.fill_between(evaluations, low, high, color=colour, alpha=0.15, lw=0)
        area.plot(evaluations, curves[indicator].mean(axis=0), dash, color=colour, lw=1.1, label=searcher)
    best = asdict(comparison.best[scene])[indicator]
    area.axhline(best, color="black", lw=0.7, ls=(0, (1, 1)), label="exhaustive front of the objectives")

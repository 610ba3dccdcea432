"""A scatter plot of predicted against measured latency."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np

from nasctl.drawing.canvas import NOTE, TITLE, WIDTH, canvas, scale
from nasctl.drawing.palette import BLUE, GRID, SUBTITLE
from nasctl.drawing.pareto_layout import Axis


def scatter(path: Path, measured: np.ndarray, predicted: np.ndarray, title: str, note: str, near: float) -> None:
    """Draw predictions against measurements, with a line of equality and a band around it.

    Args:
        path: Path of the picture, which is replaced if it exists. Its suffix is the format.
        measured: Measured latencies in ms, (N,).
        predicted: Predicted latencies in ms, (N,).
        title: Title with the name of the device.
        note: Further facts for the reader, below the title.
        near: Half the width of the band, in % of the measured latency.

    Raises:
        NasctlError: The suffix is no format, or the file cannot be written.
    """
    both = np.concatenate([measured, predicted])
    ends = np.array([both.min() / 1.05, both.max() * 1.05])
    with canvas(path, WIDTH / 2, WIDTH / 2 + TITLE + 2 * NOTE) as figure:
        area = figure.add_subplot()
        called = f"within {near:g}% of the measured"
        area.fill_between(ends, ends * (1 - near / 100), ends * (1 + near / 100), color=GRID, lw=0, label=called)
        area.plot(ends, ends, color="black", lw=0.7, label="as measured")
        many = len(measured) > 5000  # so many points as vectors make files that viewers open slowly
        called = f"networks ({len(measured)})"
        area.plot(measured, predicted, "o", ms=2.6, mew=0, color=BLUE, alpha=0.7, rasterized=many, label=called)
        ms = Axis("latency", "ms", "min", cost=True, transform="log10")
        scale(area, ms, both, "x")
        scale(area, ms, both, "y")
        area.set(xlim=ends, ylim=ends, xlabel="measured (ms)", ylabel="predicted (ms)", aspect="equal")
        area.legend(loc="upper left", frameon=False)
        area.set_title("\n".join(textwrap.wrap(note, 62)), loc="left", size=6.5, color=SUBTITLE)
        figure.suptitle("\n".join(textwrap.wrap(title, 42)), x=0, ha="left", size=8.5, weight="bold")

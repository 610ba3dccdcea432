"""Figures, axes and picture files: what all drawings share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nasctl.drawing.pareto_layout import ORDER, Axis, readable
from nasctl.errors import NasctlError
from nasctl.system.files import replacement

if TYPE_CHECKING:
    import matplotlib.axes
    from matplotlib.figure import Figure


FORMATS = ("png", "svg", "pdf")

WIDTH = 7.0  # inches: the text width of a paper, so that fonts come out in the sizes that stand here

HEIGHTS = {1: 3.2, 2: 2.6, 3: 2.2}  # inches of a panel, by the panels in a row

TITLE, NOTE, LEGEND = 0.17, 0.125, 0.2  # inches: the title, a line below it, the legend

BREAK = 38  # letters of an axis title that fit beside a panel

GREY, BLUE, ORANGE = "#c4c4c4", "#0072b2", "#e69f00"  # Okabe and Ito's: apart for colour-blind eyes and in grey

STYLE: Any = {
    "figure.dpi": 300,
    "savefig.dpi": 300,
    "font.size": 7,
    "text.parse_math": False,  # names are no formulas
    "legend.fontsize": 6.5,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#ececec",
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "nasctl",  # the same run, the same file
    "pdf.fonttype": 42,
}

UNDATED: Mapping[str, dict[str, Any]] = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}


def check_free(path: Path, overwrite: bool = False) -> None:
    """Find out before the work that a picture cannot go there.

    Raises:
        NasctlError: Its suffix is no format, or the file exists and may not be replaced.
    """
    file_format(path)
    if path.exists() and not path.is_file():
        raise NasctlError(f"{path} is no file; give the name of one")
    if path.exists() and not overwrite:
        raise NasctlError(f"{path} exists; give another name, or replace it with --force")


def file_format(path: Path) -> str:
    suffix = path.suffix.removeprefix(".").lower()
    if suffix not in FORMATS:
        nearest = (get_close_matches(suffix, FORMATS, n=1) or FORMATS)[0]
        raise NasctlError(f"a picture is .png, .svg or .pdf; name the file '{path.stem or 'front'}.{nearest}'")
    return suffix


@contextmanager
def canvas(path: Path, width: float, height: float) -> Iterator[Figure]:
    """An empty picture in the style of all, saved when it is drawn.

    Args:
        path: The file, replaced if it is there; its suffix says the format.
        width: Inches.
        height: Inches.

    Raises:
        NasctlError: The suffix is no format, or the file cannot be written.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    suffix = file_format(path)
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        figure = Figure((width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
        save(figure, path, suffix)


def scale(area: matplotlib.axes.Axes, axis: Axis, values: np.ndarray, letter: Literal["x", "y"]) -> None:
    """Scale, ticks and title of an axis; logarithmic if searchers see it so and the values go over a decade."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator, SymmetricalLogLocator

    drawn, stretch = (area.xaxis, area.set_xscale) if letter == "x" else (area.yaxis, area.set_yscale)
    sizes, written = np.abs(values), readable(values, ".6g")
    wide = sizes.max() >= 10 * sizes.min()
    ticks = (1, 2, 5) if sizes.max() < 30 * sizes.min() else (1,)  # in a decade
    if wide and axis.transform == "log10" and (values > 0).all():
        stretch("log")
        drawn.set_major_locator(LogLocator(subs=ticks))
    elif wide and axis.transform == "-log10(-s)" and (values < 0).all():
        nearest = float(sizes.min()) / 2  # to 0; the scale is linear between this and 0, where no value lies
        stretch("symlog", linthresh=nearest, linscale=0.1)
        drawn.set_major_locator(SymmetricalLogLocator(base=10, linthresh=nearest, subs=ticks))
    else:
        drawn.set_major_locator(MaxNLocator(5))
    drawn.set_minor_locator(NullLocator())
    drawn.set_major_formatter(FuncFormatter(lambda value, _: written(value).replace("-", "\N{MINUS SIGN}")))
    unit = f" ({axis.unit})" if axis.unit else ""
    better = {"min": "\N{LEFTWARDS ARROW} better", "max": "better \N{RIGHTWARDS ARROW}"}[axis.direction]
    text = axis.name if axis is ORDER else f"{axis.name}{unit}\N{EM SPACE}{better}"
    drawn.set_label_text(text if len(text) <= BREAK else text.replace(unit, "\n" + unit.strip(), 1))


def save(figure: Figure, path: Path, suffix: str) -> None:
    """Write a picture, whole or not at all."""
    with replacement(path, "give a path that you may write to") as draft:
        figure.savefig(draft, format=suffix, bbox_inches="tight", pad_inches=0.04, metadata=UNDATED[suffix])

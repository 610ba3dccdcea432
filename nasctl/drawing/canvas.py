"""The style, axes and files of all pictures that matplotlib draws."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nasctl.drawing.palette import GRID
from nasctl.drawing.pareto_layout import ORDER, Axis, break_heading, number_format
from nasctl.errors import NasctlError
from nasctl.system import files

if TYPE_CHECKING:
    import matplotlib.axes
    from matplotlib.figure import Figure


FORMATS = ("png", "svg", "pdf")  # by suffix of the file

WIDTH = 7.0  # inches: the text width of a paper, so that fonts are printed in their sizes
HEIGHTS = {1: 3.2, 2: 2.6, 3: 2.2}  # height of a panel in inches, by the number of panels in a row
TITLE = 0.17  # inches: height of a line of the title
NOTE = 0.125  # inches: height of a line below the title
LEGEND = 0.2  # inches: height of the legend
AXIS_TITLE = 38  # characters of an axis title that fit beside a panel
SHORT_TITLE = 27  # characters of an axis title that fit beside a panel of a row of three

STYLE: Any = {
    "figure.dpi": 300,
    "savefig.dpi": 300,
    "font.size": 7,
    "text.parse_math": False,  # a name with "$" is no formula
    "legend.fontsize": 6.5,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "svg.fonttype": "none",  # text is stored as text, not as paths
    "svg.hashsalt": "nasctl",  # equal pictures are equal files
    "pdf.fonttype": 42,
}

# Metadata that leave out the date of creation, so that equal pictures are equal files.
UNDATED: Mapping[str, dict[str, Any]] = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}

# Keys of the metadata for the title and for the description.
DESCRIBED = {"png": ("Title", "Description"), "svg": ("Title", "Description"), "pdf": ("Title", "Subject")}


def check_free(path: Path, overwrite: bool = False) -> None:
    """Check, before any work, that a picture can be written at a path.

    Args:
        path: Path of the picture.
        overwrite: Whether an existing file may be replaced.

    Raises:
        NasctlError: The suffix is no format, or the file exists and must not be replaced.
    """
    file_format(path)
    if path.exists() and not path.is_file():
        raise NasctlError(f"cannot write {path}: it is no file; give the name of a file")
    if path.exists() and not overwrite:
        raise NasctlError(f"{path} exists; give another name, or replace it with --force")


def file_format(path: Path) -> str:
    """Return the format of a picture, which is the suffix of its path.

    Raises:
        NasctlError: The suffix is no format.
    """
    suffix = path.suffix.removeprefix(".").lower()
    if suffix not in FORMATS:
        nearest = (get_close_matches(suffix, FORMATS, n=1) or FORMATS)[0]
        raise NasctlError(f"a picture is .png, .svg or .pdf; name the file '{path.stem or 'front'}.{nearest}'")
    return suffix


@contextmanager
def canvas(path: Path, width: float, height: float) -> Iterator[Figure]:
    """Yield an empty figure in the style of all pictures, and save it when the block ends.

    Args:
        path: Path of the picture, which is replaced if it exists. Its suffix is the format.
        width: Width in inches.
        height: Height in inches.

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


def scale(
    area: matplotlib.axes.Axes, axis: Axis, values: np.ndarray, letter: Literal["x", "y"], title: int = AXIS_TITLE
) -> None:
    """Set scale, ticks and title of an axis.

    The scale is logarithmic if searchers see the logarithm of the values and the values span at least a decade.

    Args:
        area: Axes of matplotlib.
        axis: The objective on the axis.
        values: Its values, (N,).
        letter: Which of the two axes is set.
        title: Characters in a line of the title.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator, SymmetricalLogLocator

    drawn, stretch = (area.xaxis, area.set_xscale) if letter == "x" else (area.yaxis, area.set_yscale)
    sizes, written = np.abs(values), number_format(values, f".{_digits(values)}g")
    wide = sizes.max(initial=0) >= 10 * sizes.min(initial=np.inf)
    ticks = (1, 2, 5) if sizes.max(initial=0) < 100 * sizes.min(initial=np.inf) else (1,)  # ticks in a decade
    if wide and axis.transform == "log10" and (values > 0).all():
        stretch("log")
        drawn.set_major_locator(LogLocator(subs=ticks))
    elif wide and axis.transform == "-log10(-s)" and (values < 0).all():
        nearest = float(sizes.min()) / 2  # between this and 0 the scale is linear, and no value lies there
        stretch("symlog", linthresh=nearest, linscale=0.1)
        drawn.set_major_locator(SymmetricalLogLocator(base=10, linthresh=nearest, subs=ticks))
    else:
        drawn.set_major_locator(MaxNLocator(6, steps=(1, 2, 2.5, 5, 10), min_n_ticks=3))
    drawn.set_minor_locator(NullLocator())
    drawn.set_major_formatter(FuncFormatter(lambda value, _: written(value).replace("-", "\N{MINUS SIGN}")))
    drawn.set_label_text(axis_title(axis, title))


def axis_title(axis: Axis, most: int = AXIS_TITLE) -> str:
    """Return the title of an axis with its unit and its better direction, in lines of at most `most` characters."""
    if axis is ORDER:
        return axis.name
    better = {"min": "\N{LEFTWARDS ARROW} better", "max": "better \N{RIGHTWARDS ARROW}"}[axis.direction]
    unit = f"({axis.unit})" if axis.unit else ""
    whole = f"{axis.name} {unit}".strip() + f"\N{EM SPACE}{better}"
    if len(whole) <= most:
        return whole
    *lines, last = break_heading(axis.name, most) + (textwrap.wrap(unit, most - 10) if unit else [])
    beside = f"{last}\N{EM SPACE}{better}"
    return "\n".join([*lines, beside] if len(beside) <= most else [*lines, last, better])


def thin_ticks(figure: Figure) -> bool:
    """Leave out tick labels that touch their neighbours, and return whether there were any.

    The figure has been drawn once, so that sizes are known.
    """
    changed = False
    for area in figure.axes:
        for axis, side in ((area.xaxis, 0), (area.yaxis, 1)):
            labels = [one for one in axis.get_ticklabels() if one.get_text()]
            boxes = [one.get_window_extent() for one in labels]
            spans = sorted(((box.x0, box.x1) if side == 0 else (box.y0, box.y1)) for box in boxes)
            space = 4 * figure.dpi / 72 if side == 0 else 0
            if any(after[0] - before[1] < space for before, after in pairwise(spans)):
                low, high = sorted(area.get_xlim() if side == 0 else area.get_ylim())
                seen = [tick for tick in axis.get_majorticklocs() if low <= tick <= high]
                axis.set_ticks(seen[::2])
                changed = True
    return changed


def _digits(values: np.ndarray) -> int:
    """Return the number of significant digits with which ticks on an axis of values, (N,), differ."""
    largest, reach = float(np.abs(values).max(initial=0)), float(np.ptp(values)) if len(values) else 0.0
    return 6 if not reach or not largest else min(12, max(6, 3 + math.ceil(math.log10(largest / reach))))


def save(figure: Figure, path: Path, suffix: str, facts: Mapping[str, str] | None = None) -> None:
    """Write a figure as a file of the format `suffix`, completely or not at all.

    Args:
        figure: The figure.
        path: Path of the file, which is replaced if it exists.
        suffix: One of `FORMATS`.
        facts: Title and further facts by name, for the metadata of the file.

    Raises:
        NasctlError: The file cannot be written.
    """
    metadata = dict(UNDATED[suffix])
    if facts:
        title, description = DESCRIBED[suffix]
        metadata[title] = facts.get("title", "")
        metadata[description] = "\n".join(f"{name}: {text}" for name, text in facts.items() if name != "title")
    content = BytesIO()
    figure.savefig(content, format=suffix, bbox_inches="tight", pad_inches=0.04, metadata=metadata)
    files.write(path, content.getvalue(), "give a path that you may write to")

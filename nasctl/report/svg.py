"""Charts as SVG elements of the HTML report. The style sheet of the page sets their look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from nasctl.drawing.labels import name_offsets, text_width
from nasctl.drawing.pareto_layout import number_format
from nasctl.problem.searcher import Transform

# Sizes of a chart, in units that the browser scales.
WIDTH = 720
HEIGHT = 400
# Margins around the area of the points, in the same units.
LEFT = 92
RIGHT = 20
TOP = 12
BOTTOM = 62
UNITS = 2  # units in a point of the font that names are measured in: 6 points are 12 units

STEPS = (1, 2, 2.5, 5, 10)  # distances between ticks, times a power of ten
PADDING = 0.04  # beyond the outermost points, as a fraction of their distance


@dataclass(frozen=True)
class AxisPositions:
    """Positions of values on an axis, and its ticks."""

    at: np.ndarray  # fractions of the axis from 0 to 1, NaN for a missing value, (N,)
    ticks: Sequence[tuple[float, str]]  # fractions of the axis, with their texts


def axis_positions(values: np.ndarray, transform: Transform = "identity") -> AxisPositions:
    """Place values, (N,), along an axis.

    The axis is logarithmic if searchers see the logarithm of the values and the values span at least a decade.
    """
    from matplotlib.ticker import LogLocator, MaxNLocator

    known = values[np.isfinite(values)]
    if not len(known):
        return AxisPositions(np.full(len(values), np.nan), [])
    sizes, sign = np.abs(known), np.sign(known[0])
    wide = sizes.max() >= 10 * sizes.min() and (np.sign(known) == sign).all() and sign
    logarithmic = bool(wide) and transform == {1: "log10", -1: "-log10(-s)"}.get(int(sign))
    if logarithmic:
        every = (1, 2, 5) if sizes.max() < 30 * sizes.min() else (1,)  # in a decade
        marks = sign * LogLocator(subs=every).tick_values(sizes.min(), sizes.max())
    else:
        reach = float(np.ptp(known)) or abs(float(known[0])) or 1.0
        marks = np.array(
            MaxNLocator(6, steps=STEPS).tick_values(known.min() - PADDING * reach, known.max() + PADDING * reach)
        )

    def seen(these: np.ndarray) -> np.ndarray:
        return np.asarray(sign * np.log10(sign * these) if logarithmic else these)

    with np.errstate(invalid="ignore"):
        low, high = seen(known).min(), seen(known).max()
        margin = PADDING * (high - low) or 0.5 * abs(low) or 1.0
        at, places = ((seen(these) - low + margin) / (high - low + 2 * margin) for these in (values, marks))
    written = number_format(known, ".6g")
    texts = [written(float(mark)).replace("-", "\N{MINUS SIGN}") for mark in marks]
    return AxisPositions(at, [(float(p), t) for p, t in zip(places, texts, strict=True) if 0 <= p <= 1])


@dataclass(frozen=True)
class Dot:
    """A point of a scatter chart."""

    kind: str  # class in the style sheet
    name: str  # id of the candidate
    said: str  # text of the tooltip


@dataclass(frozen=True)
class Name:
    """A text beside a point of a scatter chart."""

    text: str
    row: int  # row of the point


@dataclass(frozen=True)
class Stairs:
    """The front among the points of a scatter chart, drawn as a staircase around the dominated area."""

    rows: Sequence[int]  # rows of its points, best in x first
    worse: Sequence[int]  # signs of the worse side in x and y


def scatter(
    name: str,
    said: str,
    x: AxisPositions,
    y: AxisPositions,
    titles: tuple[str, str],
    dots: Sequence[Dot],
    stairs: Stairs | None = None,
    names: Sequence[Name] = (),
) -> str:
    """Return a scatter chart. Points without a value on an axis are hidden, because a script may change the axes.

    Args:
        name: Id of the SVG element.
        said: Description for screen readers.
        x: Positions of the points from left to right, (N,).
        y: Positions of the points from bottom to top, (N,).
        titles: Titles of the x axis and the y axis.
        dots: The points, (N,).
        stairs: The front of the points.
        names: Texts beside points.
    """
    lines = [_opened(name, said, x, y, titles), f'<polyline class="stairs" points="{_corners(x, y, stairs)}"/>']
    for across, up, dot in zip(x.at, y.at, dots, strict=True):
        there = np.isfinite(across) and np.isfinite(up)
        place = f'cx="{_across(across)}" cy="{_up(up)}"' if there else 'cx="0" cy="0" visibility="hidden"'
        known = f' data-id="{escape(dot.name)}"'
        lines.append(f'<circle class="{dot.kind}" r="4" {place}{known}><title>{escape(dot.said)}</title></circle>')
    return "\n".join([*lines, '<g class="names">', *_names(x, y, names), "</g>", "</svg>"])


def _names(x: AxisPositions, y: AxisPositions, names: Sequence[Name]) -> Iterator[str]:
    """Yield the texts beside points, where they lie on no other text and on few points."""
    there = [one for one in names if np.isfinite(x.at[one.row]) and np.isfinite(y.at[one.row])]
    span = np.array([WIDTH - RIGHT - LEFT, HEIGHT - BOTTOM - TOP]) / UNITS
    every = np.column_stack([x.at, y.at])
    crowd = every[np.isfinite(every).all(axis=1)] * span
    places = np.array([[x.at[one.row], y.at[one.row]] for one in there]).reshape(-1, 2) * span
    texts = [[one.text] for one in there]
    found, _ = name_offsets(places, texts, (-1, 1), span.tolist(), np.empty((0, 4)), crowd, text_width)
    for one, place, at in zip(there, places, found, strict=True):
        if at is None:
            continue
        point = (LEFT + place[0] * UNITS, HEIGHT - BOTTOM - place[1] * UNITS)
        to = (point[0] + at[1][0] * UNITS, point[1] - at[1][1] * UNITS)
        line = f'x1="{point[0]:.1f}" y1="{point[1]:.1f}" x2="{to[0]:.1f}" y2="{to[1]:.1f}"'
        text = f'x="{to[0]:.1f}" y="{to[1]:.1f}" dy=".35em" text-anchor="middle" data-row="{one.row}"'
        yield f"<line {line}/><text {text}>{escape(one.text)}</text>"


def _corners(x: AxisPositions, y: AxisPositions, stairs: Stairs | None) -> str:
    """Return the corners of a staircase, whose ends continue to the worse sides of the chart."""
    if stairs is None or not stairs.rows:
        return ""
    edges = [1.0 if sign > 0 else 0.0 for sign in stairs.worse]
    at = [(float(x.at[k]), float(y.at[k])) for k in stairs.rows]
    corners = [(at[0][0], edges[1])]
    for across, up in at:
        corners += [(across, corners[-1][1]), (across, up)]
    corners.append((edges[0], at[-1][1]))
    return " ".join(f"{_across(across)},{_up(up)}" for across, up in corners)


def line(name: str, said: str, x: AxisPositions, y: AxisPositions, titles: tuple[str, str]) -> str:
    """Return a chart of a line through points in their order; the arguments are those of `scatter`."""
    points = " ".join(f"{_across(across)},{_up(up)}" for across, up in zip(x.at, y.at, strict=True))
    return "\n".join([_opened(name, said, x, y, titles), f'<polyline class="curve" points="{points}"/>', "</svg>"])


def _opened(name: str, said: str, x: AxisPositions, y: AxisPositions, titles: tuple[str, str]) -> str:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" data-area="{LEFT} {TOP} {right} {bottom}"'
    return "\n".join(
        [
            f'<svg id="{name}" {size} role="img" aria-label="{escape(said)}">',
            f'<g class="ticks across">{"".join(_ticks_across(x))}</g>',
            f'<g class="ticks up">{"".join(_ticks_up(y))}</g>',
            f'<path class="frame" d="M{LEFT} {TOP}V{bottom}H{right}"/>',
            f'<text class="title across" x="{right}" y="{HEIGHT - 8}" text-anchor="end">{escape(titles[0])}</text>',
            '<text class="title up" text-anchor="end" transform="rotate(-90)"',
            f' x="{-TOP}" y="18">{escape(titles[1])}</text>',
        ]
    )


def _ticks_across(axis: AxisPositions) -> Iterator[str]:
    for place, text in axis.ticks:
        at = _across(place)
        yield f'<line x1="{at}" x2="{at}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        yield f'<text x="{at}" y="{HEIGHT - BOTTOM + 22}" text-anchor="middle">{escape(text)}</text>'


def _ticks_up(axis: AxisPositions) -> Iterator[str]:
    for place, text in axis.ticks:
        at = _up(place)
        yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at}" y2="{at}"/>'
        yield f'<text x="{LEFT - 8}" y="{at}" dy="4" text-anchor="end">{escape(text)}</text>'


def _across(share: float) -> str:
    return f"{LEFT + share * (WIDTH - RIGHT - LEFT):.1f}"


def _up(share: float) -> str:
    return f"{HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP):.1f}"

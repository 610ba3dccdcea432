"""Charts as SVG elements of the HTML report. The style sheet of the page sets their look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from nasctl.drawing.pareto_layout import number_format
from nasctl.problem.searcher import Transform

# Sizes of a chart, in units that the browser scales.
WIDTH = 720
HEIGHT = 400
# Margins around the area of the points, in the same units.
LEFT = 76
RIGHT = 14
TOP = 12
BOTTOM = 46

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


def scatter(
    name: str, said: str, x: AxisPositions, y: AxisPositions, titles: tuple[str, str], dots: Sequence[Dot]
) -> str:
    """Return a scatter chart. Points without a value on an axis are hidden, because a script may change the axes.

    Args:
        name: Id of the SVG element.
        said: Description for screen readers.
        x: Positions of the points from left to right, (N,).
        y: Positions of the points from bottom to top, (N,).
        titles: Titles of the x axis and the y axis.
        dots: The points, (N,).
    """
    lines = [_opened(name, said, x, y, titles)]
    for across, up, dot in zip(x.at, y.at, dots, strict=True):
        there = np.isfinite(across) and np.isfinite(up)
        place = f'cx="{_across(across)}" cy="{_up(up)}"' if there else 'cx="0" cy="0" visibility="hidden"'
        known = f' data-id="{escape(dot.name)}"'
        lines.append(f'<circle class="{dot.kind}" r="4" {place}{known}><title>{escape(dot.said)}</title></circle>')
    return "\n".join([*lines, "</svg>"])


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
            f' x="{-TOP}" y="14">{escape(titles[1])}</text>',
        ]
    )


def _ticks_across(axis: AxisPositions) -> Iterator[str]:
    for place, text in axis.ticks:
        at = _across(place)
        yield f'<line x1="{at}" x2="{at}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        yield f'<text x="{at}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{escape(text)}</text>'


def _ticks_up(axis: AxisPositions) -> Iterator[str]:
    for place, text in axis.ticks:
        at = _up(place)
        yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at}" y2="{at}"/>'
        yield f'<text x="{LEFT - 8}" y="{at}" dy="4" text-anchor="end">{escape(text)}</text>'


def _across(share: float) -> str:
    return f"{LEFT + share * (WIDTH - RIGHT - LEFT):.1f}"


def _up(share: float) -> str:
    return f"{HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP):.1f}"

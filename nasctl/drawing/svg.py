"""Small charts as SVG inside a page: points and lines between ticks; how they look is left to the page's style."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from nasctl.drawing.pareto_layout import number_format
from nasctl.problem.searcher import Transform

WIDTH, HEIGHT = 720, 400  # of a chart, in units that the browser scales
LEFT, RIGHT, TOP, BOTTOM = 76, 14, 12, 46  # beside the area of the points
STEPS = (1, 2, 2.5, 5, 10)  # between ticks, but for powers of ten
AIR = 0.04  # beyond the outermost points, as a share of the way between them


@dataclass(frozen=True)
class Ruled:
    """Where values lie on an axis: shares of its length from 0 to 1, (N,), NaN without a value; and its ticks."""

    at: np.ndarray
    ticks: Sequence[tuple[float, str]]


def ruled(values: np.ndarray, transform: Transform = "identity") -> Ruled:
    """Lay values, (N,), along an axis; logarithmic if searchers see them so and they go over a decade."""
    from matplotlib.ticker import LogLocator, MaxNLocator

    known = values[np.isfinite(values)]
    if not len(known):
        return Ruled(np.full(len(values), np.nan), [])
    sizes, sign = np.abs(known), np.sign(known[0])
    wide = sizes.max() >= 10 * sizes.min() and (np.sign(known) == sign).all() and sign
    logarithmic = bool(wide) and transform == {1: "log10", -1: "-log10(-s)"}.get(int(sign))
    if logarithmic:
        every = (1, 2, 5) if sizes.max() < 30 * sizes.min() else (1,)  # in a decade
        marks = sign * LogLocator(subs=every).tick_values(sizes.min(), sizes.max())
    else:
        reach = float(np.ptp(known)) or abs(float(known[0])) or 1.0
        marks = np.array(MaxNLocator(6, steps=STEPS).tick_values(known.min() - AIR * reach, known.max() + AIR * reach))

    def seen(these: np.ndarray) -> np.ndarray:
        return np.asarray(sign * np.log10(sign * these) if logarithmic else these)

    with np.errstate(invalid="ignore"):
        low, high = seen(known).min(), seen(known).max()
        margin = AIR * (high - low) or 0.5 * abs(low) or 1.0
        at, places = ((seen(these) - low + margin) / (high - low + 2 * margin) for these in (values, marks))
    written = number_format(known, ".6g")
    texts = [written(float(mark)).replace("-", "\N{MINUS SIGN}") for mark in marks]
    return Ruled(at, [(float(p), t) for p, t in zip(places, texts, strict=True) if 0 <= p <= 1])


@dataclass(frozen=True)
class Dot:
    """One point: its class in the style, what it is called, and what is said when it is pointed at."""

    kind: str
    name: str
    said: str


def scatter(name: str, said: str, x: Ruled, y: Ruled, titles: tuple[str, str], dots: Sequence[Dot]) -> str:
    """Points; those without a value on one of the axes are there and hidden, as a script may change the axes.

    Args:
        name: Of the element.
        said: To who cannot see it.
        x: Where the points lie from left to right, (N,).
        y: And from below.
        titles: Of the axes.
        dots: The points, (N,).
    """
    lines = [_opened(name, said, x, y, titles)]
    for across, up, dot in zip(x.at, y.at, dots, strict=True):
        there = np.isfinite(across) and np.isfinite(up)
        place = f'cx="{_across(across)}" cy="{_up(up)}"' if there else 'cx="0" cy="0" visibility="hidden"'
        known = f' data-id="{escape(dot.name)}"'
        lines.append(f'<circle class="{dot.kind}" r="4" {place}{known}><title>{escape(dot.said)}</title></circle>')
    return "\n".join([*lines, "</svg>"])


def line(name: str, said: str, x: Ruled, y: Ruled, titles: tuple[str, str]) -> str:
    """A line through points in their order."""
    points = " ".join(f"{_across(across)},{_up(up)}" for across, up in zip(x.at, y.at, strict=True))
    return "\n".join([_opened(name, said, x, y, titles), f'<polyline class="curve" points="{points}"/>', "</svg>"])


def _opened(name: str, said: str, x: Ruled, y: Ruled, titles: tuple[str, str]) -> str:
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


def _ticks_across(axis: Ruled) -> Iterator[str]:
    for place, text in axis.ticks:
        at = _across(place)
        yield f'<line x1="{at}" x2="{at}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        yield f'<text x="{at}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{escape(text)}</text>'


def _ticks_up(axis: Ruled) -> Iterator[str]:
    for place, text in axis.ticks:
        at = _up(place)
        yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at}" y2="{at}"/>'
        yield f'<text x="{LEFT - 8}" y="{at}" dy="4" text-anchor="end">{escape(text)}</text>'


def _across(share: float) -> str:
    return f"{LEFT + share * (WIDTH - RIGHT - LEFT):.1f}"


def _up(share: float) -> str:
    return f"{HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP):.1f}"

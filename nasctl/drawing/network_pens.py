"""The pens that draw a network: one for matplotlib, one for SVG elements whose colours a style sheet sets.

All positions are in inches from the upper left corner. `z` orders what lies on what.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from math import hypot
from typing import TYPE_CHECKING, Any, Literal, Protocol

from nasctl.drawing.labels import text_width as width_in_points
from nasctl.drawing.palette import BLUE, CAPTION, FILLS, FRAME_EDGE, FRAME_FILL, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Across = Literal["left", "center"]
Up = Literal["top", "center", "baseline"]

PAPER = "white"
ON_FILL = "black"  # text in a box, whose fill is light on a dark page too
SCALE = 144  # units of an SVG in an inch: text of 6 points is 12 units high
HEAD = "-|>,head_length=2.4,head_width=1.2"  # arrow heads, in matplotlib's notation
HEAD_LENGTH, HEAD_WIDTH = 6.0, 2.6  # units of an SVG: length and half the width of an arrow head
LEADING = 1.2  # height of a line of a text of several lines, relative to its size
RISE: dict[Up, float] = {"top": 0.93, "center": 0.36, "baseline": 0.0}  # baseline below the anchor, relative to size

# Classes in a style sheet by colour.
CLASSES = {INK: "n-ink", CAPTION: "n-soft", BLUE: "n-skip", PAPER: "n-paper", ON_FILL: "n-on", FRAME_EDGE: "n-edge"}
CLASSES |= {FRAME_FILL: "n-frame", **{fill: f"n-kind{k}" for k, fill in enumerate(FILLS)}}


def text_width(text: str, size: float) -> float:
    """Return the width of a line of text in inches."""
    return width_in_points(text, size) / 72


class Pen(Protocol):
    """The strokes that a picture of a network consists of."""

    def text(
        self, x: float, y: float, text: str, size: float, color: str = ..., across: Across = ..., up: Up = ...,
        bold: bool = ..., z: int = ..., back: bool = ...,
    ) -> None:  # fmt: skip
        """Write lines of text; with `back`, on a patch of the paper's colour."""
        ...

    def box(
        self, left: float, top: float, width: float, height: float, radius: float, fill: str, edge: str = ...,
        line: float = ..., z: int = ...,
    ) -> None:  # fmt: skip
        """Draw a box with rounded corners and a line of some points around it."""
        ...

    def arrow(self, start: float, stop: float, height: float) -> None:
        """Draw a straight arrow from left to right."""
        ...

    def curve(self, start: float, stop: float, middle: float, height: float, bend: float, color: str) -> None:
        """Draw an arrow that leaves the line at `middle`, runs at `height`, and comes back."""
        ...


def _bends(start: float, stop: float, middle: float, height: float, bend: float) -> list[tuple[float, float]]:
    """Return the points of a curve: a start, three of a Bezier curve, one of a line, three of a Bezier curve."""
    return [
        (start, middle), (start + bend / 4, height), (start + bend / 2, height), (start + bend, height),
        (stop - bend, height), (stop - bend / 2, height), (stop - bend / 4, height), (stop, middle),
    ]  # fmt: skip


class MatplotlibPen:
    """A pen that draws into axes of matplotlib, whose units are inches.

    Args:
        area: The axes.
    """

    def __init__(self, area: Axes) -> None:
        self._area = area

    def text(
        self, x: float, y: float, text: str, size: float, color: str = INK, across: Across = "left",
        up: Up = "baseline", bold: bool = False, z: int = 3, back: bool = False,
    ) -> None:  # fmt: skip
        box: Any = {"bbox": {"fc": PAPER, "ec": "none", "pad": 0.6}} if back else {}
        weight = "bold" if bold else "normal"
        self._area.text(x, y, text, size=size, color=color, ha=across, va=up, weight=weight, zorder=z, **box)

    def box(
        self, left: float, top: float, width: float, height: float, radius: float, fill: str, edge: str = INK,
        line: float = 0.6, z: int = 2,
    ) -> None:  # fmt: skip
        from matplotlib.patches import FancyBboxPatch

        style: Any = {"boxstyle": f"round,pad=0,rounding_size={radius}", "fc": fill, "ec": edge, "lw": line}
        self._area.add_patch(FancyBboxPatch((left, top), width, height, **style, zorder=z))

    def arrow(self, start: float, stop: float, height: float) -> None:
        from matplotlib.patches import FancyArrowPatch

        style: Any = {"arrowstyle": HEAD, "lw": 0.7, "color": INK, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 1}
        self._area.add_patch(FancyArrowPatch((start, height), (stop, height), **style, zorder=1))

    def curve(self, start: float, stop: float, middle: float, height: float, bend: float, color: str) -> None:
        from matplotlib.patches import FancyArrowPatch
        from matplotlib.path import Path as Line

        codes = [Line.MOVETO, *[Line.CURVE4] * 3, Line.LINETO, *[Line.CURVE4] * 3]
        line: Any = Line(_bends(start, stop, middle, height, bend), codes)
        style: Any = {"arrowstyle": HEAD, "mutation_scale": 1, "lw": 0.7, "color": color, "fill": False}
        self._area.add_patch(FancyArrowPatch(path=line, **style, zorder=1))


@dataclass
class SvgPen:
    """A pen that collects SVG elements. Colours are classes, so that a style sheet can change them."""

    _made: list[tuple[int, int, str]] = field(default_factory=list)  # z, order, element

    def text(
        self, x: float, y: float, text: str, size: float, color: str = INK, across: Across = "left",
        up: Up = "baseline", bold: bool = False, z: int = 3, back: bool = False,
    ) -> None:  # fmt: skip
        lines, high = text.split("\n"), size * SCALE / 72
        first = y * SCALE + RISE[up] * high - (up == "center") * (len(lines) - 1) / 2 * LEADING * high
        anchor = ' text-anchor="middle"' if across == "center" else ""
        if back:
            wide, tall = max(text_width(line, size) for line in lines), LEADING * size * len(lines) / 72
            self.box(x - wide / 2, y - tall / 2, wide, tall, 0, PAPER, PAPER, 0, z)
        for number, line in enumerate(lines):
            if not line.strip():
                continue
            # The browser's font may be wider than the one that the boxes were measured with.
            fitted = f' textLength="{text_width(line, size) * SCALE:.0f}" lengthAdjust="spacingAndGlyphs"'
            place = f'x="{x * SCALE:.1f}" y="{first + number * LEADING * high:.1f}"'
            look = f'class="{CLASSES[color]}{" n-bold" * bold}" font-size="{high:g}"'
            self._add(z, f"<text {look} {place}{anchor}{fitted if len(line) > 3 else ''}>{escape(line)}</text>")

    def box(
        self, left: float, top: float, width: float, height: float, radius: float, fill: str, edge: str = INK,
        line: float = 0.6, z: int = 2,
    ) -> None:  # fmt: skip
        place = " ".join(
            f'{name}="{value * SCALE:.1f}"'
            for name, value in (("x", left), ("y", top), ("width", width), ("height", height), ("rx", radius))
        )
        around = f" {CLASSES[edge]}-line" if line else ""
        self._add(z, f'<rect class="{CLASSES[fill]}{around}" {place}/>')

    def arrow(self, start: float, stop: float, height: float) -> None:
        self._line(
            CLASSES[INK], [(start, height), (stop, height)], f"M{_at(start, height)}H{stop * SCALE - HEAD_LENGTH:.1f}"
        )

    def curve(self, start: float, stop: float, middle: float, height: float, bend: float, color: str) -> None:
        points = _bends(start, stop, middle, height, bend)
        a, b, c, d, e, f, g, h = (_at(*point) for point in points)
        self._line(CLASSES[color], points[-2:], f"M{a}C{b} {c} {d}L{e}C{f} {g} {h}")

    def element(self, width: float, height: float, said: str) -> str:
        """Return the SVG element of all strokes so far, with a description for screen readers."""
        size = f'width="{width * SCALE:.0f}" height="{height * SCALE:.0f}"'
        opened = f'<svg class="net" {size} viewBox="0 0 {width * SCALE:.0f} {height * SCALE:.0f}" role="img"'
        return "\n".join(
            [f'{opened} aria-label="{escape(said)}">', *(one for _, _, one in sorted(self._made)), "</svg>"]
        )

    def _line(self, kind: str, end: list[tuple[float, float]], path: str) -> None:
        """Draw a path with an arrow head that points from the first point of `end` to the second."""
        (x, y), (to_x, to_y) = [(a * SCALE, b * SCALE) for a, b in end]
        far = hypot(to_x - x, to_y - y) or 1.0
        way_x, way_y = (to_x - x) / far, (to_y - y) / far
        back = (to_x - HEAD_LENGTH * way_x, to_y - HEAD_LENGTH * way_y)
        side = (-HEAD_WIDTH * way_y, HEAD_WIDTH * way_x)
        corners = [(back[0] + sign * side[0], back[1] + sign * side[1]) for sign in (1, -1)]
        head = f"M{to_x:.1f} {to_y:.1f}" + "".join(f"L{a:.1f} {b:.1f}" for a, b in corners)
        self._add(1, f'<path class="{kind}-line n-none" d="{path}"/><path class="{kind}" d="{head}Z"/>')

    def _add(self, z: int, element: str) -> None:
        self._made.append((z, len(self._made), element))


def _at(x: float, y: float) -> str:
    return f"{x * SCALE:.1f} {y * SCALE:.1f}"

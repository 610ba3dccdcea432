"""The picture of an architecture: its blocks as boxes in rows, and its cells as graphs."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nasctl.drawing.canvas import WIDTH, canvas
from nasctl.drawing.network_layout import Box, Cell, Edge, cell_letters, lay_out
from nasctl.drawing.palette import BLUE, CAPTION, FILLS, FRAME_EDGE, FRAME_FILL, INK, SUBTITLE
from nasctl.networks.graph import Network

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE = 6.0  # points: text in boxes and graphs
SMALL = 5.0  # points: text below boxes, names of stages, legend
LINE = 0.105  # inches: height of a line of text
PAD = 0.06  # inches: space around the text of a box
GAP = 0.2  # inches: space between boxes
MARGIN = 0.08  # inches: space around everything
FRAME = 0.05  # inches: space around the boxes of a stage
ARC = 0.13  # inches: space for the arc of a shortcut above a box
WRAP = 11  # characters in a line of a box, unless a word is longer
RADIUS = 0.085  # inches: radius of a value of a cell
SLOPE = 0.14  # inches: width of the bend at each end of a curved edge
LANE = 0.07  # inches: space between two edges of a cell
HEAD = "-|>,head_length=2.4,head_width=1.2"  # arrow heads, in matplotlib's notation
TIMES = "\N{MULTIPLICATION SIGN}"
LEGEND = (
    f"A box is a block, with the shape of its output below (channels{TIMES}height{TIMES}width, or"
    f" tokens{TIMES}width). An arc is a"
    f" shortcut: the input is added to the output. {TIMES}N means N equal blocks in a row."
)
GRAPHS = (
    " A cell is drawn as a graph: circles are values, + is a sum, and arrows are operations. Its input is the output"
    " of the box before it; k\N{MINUS SIGN}2 is the output of the box before that one. The output is black."
)
STEPS = " If circles contain operations, arrows are values, and the output has a name."


def draw(path: Path, network: Network, title: str, subtitle: str) -> None:
    """Draw an architecture from the names and the wiring of its network; equal networks make equal files.

    Args:
        path: Path of the picture, which is replaced if it exists. Its suffix is the format.
        network: The network of the architecture.
        title: The id of the architecture.
        subtitle: Further facts for the reader.

    Raises:
        NasctlError: The suffix is no format, or the file cannot be written.
    """
    boxes = lay_out(network)
    names = cell_letters(boxes)
    rows = _rows([_measured_box(box, names) for box in boxes])
    graphs = [_Graph(cell, _heading(letter, cell, boxes)) for cell, letter in names.items()]
    shelves = _shelves(graphs)
    width = max([WIDTH, *(sum(one.width for one in shelf) + 2 * MARGIN for shelf in shelves)])
    words = LEGEND + GRAPHS * bool(graphs) + STEPS * any(cell.output < 0 for cell in names)
    legend = textwrap.wrap(words, int(width * 26))
    subtitles = textwrap.wrap(subtitle, int(width * 18), break_on_hyphens=False)
    start = 0.23 + 0.11 * len(subtitles)
    head = start + 0.02 + LINE * len(legend)
    height = head + sum(_height(row) for row in rows) + sum(max(one.height for one in shelf) for shelf in shelves)
    with canvas(path, width, height + MARGIN) as figure:
        figure.set_layout_engine("none")  # all positions are computed here
        area: Any = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height + MARGIN, 0))
        area.set_axis_off()
        area.text(MARGIN, 0.06, title, size=8.5, weight="bold", va="top")
        area.text(MARGIN, 0.21, "\n".join(subtitles), size=6.5, va="top", color=SUBTITLE)
        area.text(MARGIN, start, "\n".join(legend), size=SMALL, va="top", color=CAPTION, linespacing=1.35)
        top, fills = head, _fills(boxes)
        for number, row in enumerate(rows):
            _draw_row(area, row, top, fills, first=number == 0, last=number == len(rows) - 1)
            top += _height(row)
        for shelf in shelves:
            left = MARGIN
            for graph in shelf:
                graph.draw(area, left, top)
                left += graph.width
            top += max(one.height for one in shelf)


@dataclass(frozen=True)
class _Placed:
    """A box with its lines of text and its position in a row, in inches."""

    box: Box
    lines: tuple[str, ...]
    shape: str
    width: float
    left: float = 0.0

    @property
    def end(self) -> float:
        """The right end of the box, including the number of its repetitions."""
        times = f"{TIMES}{self.box.times}" if self.box.times > 1 else ""
        return self.left + self.width + (self.beside + 1.12 * _text_width(times, SIZE) + 0.02 if times else 0.0)

    @property
    def beside(self) -> float:
        """The distance from the box to the number of its repetitions, which is right of the end of an arc."""
        return 0.08 if self.box.shortcut else 0.02


def _measured_box(box: Box, names: Mapping[Cell, str]) -> _Placed:
    words = (word.replace(" ", "\N{NO-BREAK SPACE}") for word in box.lines[1:])
    wrapped = textwrap.wrap(" ".join(words), WRAP, break_long_words=False)
    lines = ("cell", names[box.cell]) if box.cell else (box.lines[0], *wrapped)
    shape = "\n".join([TIMES.join(map(str, box.out)), *([f"reads {', '.join(box.reads)}"] if box.reads else [])])
    width = max(
        *(_text_width(line, SIZE) + 2 * PAD for line in lines),
        *(_text_width(line, SMALL) for line in shape.split("\n")),
    )
    return _Placed(box, lines, shape, width)


def _rows(placed: Sequence[_Placed]) -> list[list[_Placed]]:
    """Arrange boxes from left to right, in as many rows as needed."""
    rows: list[list[_Placed]] = [[]]
    left = MARGIN + GAP
    for one in placed:
        if rows[-1] and rows[-1][-1].box.stage != one.box.stage:
            left += FRAME
        if rows[-1] and left + one.end + GAP > WIDTH:
            rows.append([])
            left = MARGIN + GAP
        rows[-1].append(replace(one, left=left))
        left = rows[-1][-1].end + GAP
    return rows


def _height(row: Sequence[_Placed]) -> float:
    """Return the height of a row, with the space above, in and below its boxes."""
    return _above(row) + _body(row) + _below(row) + 0.12


def _above(row: Sequence[_Placed]) -> float:
    """Return the height of names of stages and arcs above the boxes of a row."""
    return 0.13 * any(one.box.stage for one in row) + ARC * any(one.box.shortcut for one in row) + 0.03


def _body(row: Sequence[_Placed]) -> float:
    return max(len(one.lines) for one in row) * LINE + 2 * PAD


def _below(row: Sequence[_Placed]) -> float:
    """Return the height of shapes and names of inputs below the boxes of a row."""
    return max(one.shape.count("\n") + 1 for one in row) * 0.09 + 0.05


def _draw_row(
    area: Axes, row: Sequence[_Placed], top: float, fills: Mapping[str, str], first: bool, last: bool
) -> None:
    """Draw the frames of the stages, the arrows, and the boxes; an arrow leads in from the row before."""
    from matplotlib.patches import FancyBboxPatch

    upper, body = top + _above(row), _body(row)
    middle = upper + body / 2
    for stage, group in groupby(row, key=lambda one: one.box.stage):
        boxes = list(group)
        if stage:
            left, right = boxes[0].left - FRAME, boxes[-1].end + FRAME
            size = (right - left, _above(row) + body + _below(row))
            frame: Any = {"boxstyle": "round,pad=0,rounding_size=0.05", "fc": FRAME_FILL, "ec": FRAME_EDGE, "lw": 0.5}
            area.add_patch(FancyBboxPatch((left, top), *size, **frame, zorder=0))
            area.text(left + 0.05, top + 0.03, stage, size=SMALL, va="top", color=CAPTION)
    _arrow(area, MARGIN, row[0].left, middle)
    for one, following in pairwise(row):
        if following.box.follows:
            _arrow(area, one.end, following.left, middle)
    if not last:
        _arrow(area, row[-1].end, row[-1].end + GAP, middle)
    if first:
        area.text(MARGIN, middle - 0.04, "in", size=SMALL, color=CAPTION)
    for one in row:
        _draw_box(area, one, upper, body, fills)


def _draw_box(area: Axes, one: _Placed, upper: float, body: float, fills: Mapping[str, str]) -> None:
    from matplotlib.patches import FancyBboxPatch

    fill = fills[one.lines[0]]
    style: Any = {"boxstyle": "round,pad=0,rounding_size=0.03", "fc": fill, "ec": INK, "lw": 0.6}
    area.add_patch(FancyBboxPatch((one.left, upper), one.width, body, **style, zorder=2))
    center, middle = one.left + one.width / 2, upper + body / 2
    for k, line in enumerate(one.lines):
        at = middle + (k - (len(one.lines) - 1) / 2) * LINE
        area.text(center, at, line, size=SIZE, ha="center", va="center", zorder=3)
    if one.box.times > 1:
        text = f"{TIMES}{one.box.times}"
        area.text(one.left + one.width + one.beside, middle, text, size=SIZE, va="center", weight="bold", zorder=3)
    area.text(center, upper + body + 0.03, one.shape, size=SMALL, ha="center", va="top", color=CAPTION)
    if one.box.shortcut:
        _curve(area, one.left - 0.05, one.left + one.width + 0.05, middle, upper - 0.08, BLUE, slope=0.1)


def _arrow(area: Axes, start: float, stop: float, height: float) -> None:
    from matplotlib.patches import FancyArrowPatch

    style: Any = {"arrowstyle": HEAD, "lw": 0.7, "color": INK, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 1}
    area.add_patch(FancyArrowPatch((start, height), (stop, height), **style, zorder=1))


def _curve(
    area: Axes, start: float, stop: float, middle: float, height: float, color: str, slope: float = SLOPE
) -> None:
    """Draw a curved arrow that leaves a horizontal line at `start` and returns to it at `stop`."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path as Line

    bend = min(slope, (stop - start) / 3)
    points = [
        (start, middle), (start + bend / 4, height), (start + bend / 2, height), (start + bend, height),
        (stop - bend, height), (stop - bend / 2, height), (stop - bend / 4, height), (stop, middle),
    ]  # fmt: skip
    codes = [Line.MOVETO, *[Line.CURVE4] * 3, Line.LINETO, *[Line.CURVE4] * 3]
    line: Any = Line(points, codes)
    area.add_patch(
        FancyArrowPatch(path=line, arrowstyle=HEAD, mutation_scale=1, lw=0.7, color=color, fill=False, zorder=1)
    )


Lane = tuple[Edge, int, int]  # a bent edge, its side (-1 above the values, 1 below), and its level on that side


class _Graph:
    """A cell with its values on a line. Edges between neighbours are straight, others bend above or below values."""

    def __init__(self, cell: Cell, heading: str) -> None:
        self._cell, self._heading = cell, heading
        self._halves = [
            max(RADIUS, _text_width(text, SIZE) / 2 + 0.04) if len(text) > 1 else RADIUS for text in cell.values
        ]
        self._straight, bent = self._split()
        self._lanes = self._choose_lanes(bent)
        self._places = self._positions()
        self._heights = {side: self._levels(side) for side in (-1, 1)}
        self._above, self._below = (self._extent(side) for side in (-1, 1))
        self.width = max(self._places[-1] + self._halves[-1], _text_width(heading, SIZE)) + 3 * MARGIN
        self.height = 0.24 + self._above + self._below

    def draw(self, area: Axes, left: float, top: float) -> None:
        """Draw the graph with its upper left corner at a position."""
        area.text(left, top + 0.04, self._heading, size=SIZE, weight="bold", va="top")
        middle = top + 0.18 + self._above
        xs = [left + MARGIN + place for place in self._places]
        for edge in self._straight:
            start, stop = xs[edge.source] + self._halves[edge.source], xs[edge.target] - self._halves[edge.target]
            _arrow(area, start, stop, middle)
            self._write_label(area, edge, (start + stop) / 2 - 0.02, middle)
        for edge, side, level in self._lanes:
            height = middle + side * self._heights[side][level]
            _curve(area, xs[edge.source], xs[edge.target], middle + side * RADIUS, height, _edge_color(edge))
            self._write_label(area, edge, (xs[edge.source] + xs[edge.target]) / 2, height)
        for number, x in enumerate(xs):
            self._draw_value(area, number, x, middle)

    def _draw_value(self, area: Axes, number: int, x: float, y: float) -> None:
        from matplotlib.patches import FancyBboxPatch

        out, half = number == self._cell.output, self._halves[number]
        fill = INK if out else FILLS[0] if number < self._cell.inputs else "white"
        shape = f"round,pad=0,rounding_size={RADIUS}"
        corner, size = (x - half, y - RADIUS), (2 * half, 2 * RADIUS)
        area.add_patch(FancyBboxPatch(corner, *size, boxstyle=shape, fc=fill, ec=INK, lw=0.7, zorder=4))
        color, text = "white" if out else INK, self._cell.values[number] or ("" if not out else "out")
        area.text(x, y, text, size=SIZE, ha="center", va="center", color=color, zorder=5)

    def _write_label(self, area: Axes, edge: Edge, x: float, y: float) -> None:
        box: Any = {"fc": "white", "ec": "none", "pad": 0.6}
        text = "\n".join(edge.lines)
        if text:
            area.text(x, y, text, size=SIZE, ha="center", va="center", color=_edge_color(edge), bbox=box, zorder=3)

    def _split(self) -> tuple[list[Edge], list[Edge]]:
        """Return the straight edges, one for each pair of neighbours at most, and the bent edges, shortest first."""
        straight: dict[int, Edge] = {}
        bent = []
        for edge in self._cell.edges:
            if edge.target != edge.source + 1 or straight.setdefault(edge.target, edge) is not edge:
                bent.append(edge)
        return list(straight.values()), sorted(bent, key=lambda edge: (edge.target - edge.source, edge.source))

    def _choose_lanes(self, bent: Sequence[Edge]) -> list[Lane]:
        """Choose a side and a level for each bent edge."""
        lanes: list[Lane] = []
        for edge in bent:
            _, level, side = min(_lane_cost(edge, side, lanes) for side in (-1, 1))
            lanes.append((edge, side, level))
        return lanes

    def _positions(self) -> list[float]:
        """Return the positions of the values from left to right, with space for the texts between them."""
        places = [self._halves[0]]
        for number in range(1, len(self._halves)):
            least = places[-1] + self._halves[number - 1] + self._halves[number] + 0.12
            straight = [edge for edge in self._straight if edge.target == number]
            bent = [edge for edge, _, _ in self._lanes if edge.target == number]
            least = max([least, *(least + _label_width(edge) + 0.1 for edge in straight)])
            places.append(max([least, *(places[edge.source] + _label_width(edge) + 2 * SLOPE + 0.06 for edge in bent)]))
        return places

    def _levels(self, side: int) -> list[float]:
        """Return the distance of each level of a side from the values."""
        tall = [edge for edge in self._straight if edge.lines]
        far = max([RADIUS, *(_label_height(edge) / 2 for edge in tall)])
        heights: list[float] = []
        for level in range(1 + max((at for _, where, at in self._lanes if where == side), default=-1)):
            half = max(_label_height(edge) for edge, where, at in self._lanes if (where, at) == (side, level)) / 2
            heights.append(far + LANE + half)
            far += LANE + 2 * half
        return heights

    def _extent(self, side: int) -> float:
        heights = self._heights[side]
        lines = [_label_height(edge) for edge in (*self._cell.edges,)]
        return (heights[-1] if heights else 0.0) + max([RADIUS, *(one / 2 for one in lines)])


def _lane_cost(edge: Edge, side: int, lanes: Sequence[Lane]) -> tuple[int, int, int]:
    """Return how many edges another would cross on a side, its lowest free level, and the side."""
    over = [
        (level, other)
        for other, where, level in lanes
        if where == side and edge.source < other.target and other.source < edge.target
    ]
    crossed = sum(
        edge.source < other.source < edge.target < other.target
        or other.source < edge.source < other.target < edge.target
        for _, other in over
    )
    return crossed, 1 + max((level for level, _ in over), default=-1), side


def _edge_color(edge: Edge) -> str:
    return BLUE if edge.lines == ("skip",) else CAPTION if not edge.lines else INK


def _label_width(edge: Edge) -> float:
    return max((_text_width(line, SIZE) for line in edge.lines), default=0.0)


def _label_height(edge: Edge) -> float:
    return max(1, len(edge.lines)) * LINE


def _heading(letter: str, cell: Cell, boxes: Sequence[Box]) -> str:
    times = sum(box.times for box in boxes if box.cell == cell)
    return f"cell {letter}, {times} times" if times > 1 else f"cell {letter}"


def _shelves(graphs: Sequence[_Graph]) -> list[list[_Graph]]:
    """Arrange graphs side by side, in as many shelves as needed."""
    shelves: list[list[_Graph]] = []
    for graph in graphs:
        if shelves and sum(one.width for one in shelves[-1]) + graph.width <= WIDTH - 2 * MARGIN:
            shelves[-1].append(graph)
        else:
            shelves.append([graph])
    return shelves


def _fills(boxes: Sequence[Box]) -> dict[str, str]:
    """Choose a fill for each kind of block, in the order in which the kinds occur."""
    kinds = dict.fromkeys("cell" if box.cell else box.lines[0] for box in boxes)
    return {kind: FILLS[k % len(FILLS)] for k, kind in enumerate(kinds)}


@lru_cache(maxsize=1 << 12)
def _text_width(text: str, size: float) -> float:
    """Return the width of a line of text in inches."""
    from matplotlib.textpath import TextPath

    return float(TextPath((0, 0), text, size=size).get_extents().width) / 72 if text.strip() else 0.0

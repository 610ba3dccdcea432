"""The picture of an architecture: its blocks as boxes in rows, and its cells as graphs."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

from nasctl.drawing.canvas import WIDTH, canvas
from nasctl.drawing.network_layout import Box, Cell, Edge, cell_letters, lay_out
from nasctl.drawing.network_pens import ON_FILL, PAPER, MatplotlibPen, Pen, SvgPen, text_width
from nasctl.drawing.palette import BLUE, CAPTION, FILLS, FRAME_EDGE, FRAME_FILL, INK, SUBTITLE
from nasctl.networks.graph import Network

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
    body = _Body(network, WIDTH)
    width = max(WIDTH, body.width)
    legend = textwrap.wrap(body.legend, int(width * 26))
    subtitles = textwrap.wrap(subtitle, int(width * 18), break_on_hyphens=False)
    start = 0.23 + 0.11 * len(subtitles)
    head = start + 0.02 + LINE * len(legend)
    height = head + body.height
    with canvas(path, width, height + MARGIN) as figure:
        figure.set_layout_engine("none")  # all positions are computed here
        area: Any = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height + MARGIN, 0))
        area.set_axis_off()
        area.text(MARGIN, 0.06, title, size=8.5, weight="bold", va="top")
        area.text(MARGIN, 0.21, "\n".join(subtitles), size=6.5, va="top", color=SUBTITLE)
        area.text(MARGIN, start, "\n".join(legend), size=SMALL, va="top", color=CAPTION, linespacing=1.35)
        body.draw(MatplotlibPen(area), head)


def network_svg(network: Network, width: float = WIDTH) -> str:
    """Return an architecture as an SVG element without a title; equal networks make equal elements.

    A style sheet has to set its colours; see `nasctl.drawing.network_pens.CLASSES`.

    Args:
        network: The network of the architecture.
        width: Width in inches of 144 units, at which rows of boxes break. A wider cell makes the element wider.
    """
    body, pen = _Body(network, width), SvgPen()
    body.draw(pen, 0.0)
    return pen.element(max(width, body.width), body.height + MARGIN, describe_network(network))


def network_legend(networks: Sequence[Network]) -> str:
    """Return the explanation of the signs in pictures of networks."""
    return max((_Body(network, WIDTH).legend for network in networks), key=len, default="")


def describe_network(network: Network) -> str:
    """Return the boxes of a picture in words, for people who do not see it."""
    boxes = lay_out(network)
    names = cell_letters(boxes)
    return "; ".join(
        f"{' '.join(box.lines) if box.cell is None else f'cell {names[box.cell]}'}"
        f"{f' {TIMES}{box.times}' if box.times > 1 else ''} to {TIMES.join(map(str, box.out))}"
        for box in boxes
    )


class _Body:
    """Rows of boxes, and below them the graphs of cells.

    Args:
        network: The network.
        width: Width in inches at which rows break.
    """

    def __init__(self, network: Network, width: float) -> None:
        boxes = lay_out(network)
        names = cell_letters(boxes)
        graphs = [_Graph(cell, _heading(letter, cell, boxes)) for cell, letter in names.items()]
        self._rows = _rows([_measured_box(box, names) for box in boxes], width)
        self._shelves, self._fills = _shelves(graphs, width), _fills(boxes)
        self.legend = LEGEND + GRAPHS * bool(graphs) + STEPS * any(cell.output < 0 for cell in names)

    @property
    def width(self) -> float:
        """The width of the widest row of boxes or graphs."""
        rows = [row[-1].end + GAP for row in self._rows]
        return max([*rows, *(sum(one.width for one in shelf) + 2 * MARGIN for shelf in self._shelves)])

    @property
    def height(self) -> float:
        """The height of all rows."""
        graphs = sum(max(one.height for one in shelf) for shelf in self._shelves)
        return sum(_height(row) for row in self._rows) + graphs

    def draw(self, pen: Pen, top: float) -> None:
        """Draw all rows from a height on."""
        for number, row in enumerate(self._rows):
            _draw_row(pen, row, top, self._fills, first=number == 0, last=number == len(self._rows) - 1)
            top += _height(row)
        for shelf in self._shelves:
            left = MARGIN
            for graph in shelf:
                graph.draw(pen, left, top)
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
        return self.left + self.width + (self.beside + 1.12 * text_width(times, SIZE) + 0.02 if times else 0.0)

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
        *(text_width(line, SIZE) + 2 * PAD for line in lines),
        *(text_width(line, SMALL) for line in shape.split("\n")),
    )
    return _Placed(box, lines, shape, width)


def _rows(placed: Sequence[_Placed], width: float) -> list[list[_Placed]]:
    """Arrange boxes from left to right, in as many rows of a width as needed."""
    rows: list[list[_Placed]] = [[]]
    left = MARGIN + GAP
    for one in placed:
        if rows[-1] and rows[-1][-1].box.stage != one.box.stage:
            left += FRAME
        if rows[-1] and left + one.end + GAP > width:
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


def _draw_row(pen: Pen, row: Sequence[_Placed], top: float, fills: Mapping[str, str], first: bool, last: bool) -> None:
    """Draw the frames of the stages, the arrows, and the boxes; an arrow leads in from the row before."""
    upper, body = top + _above(row), _body(row)
    middle = upper + body / 2
    for stage, group in groupby(row, key=lambda one: one.box.stage):
        boxes = list(group)
        if stage:
            left, right = boxes[0].left - FRAME, boxes[-1].end + FRAME
            size = (right - left, _above(row) + body + _below(row))
            pen.box(left, top, *size, radius=0.05, fill=FRAME_FILL, edge=FRAME_EDGE, line=0.5, z=0)
            pen.text(left + 0.05, top + 0.03, stage, SMALL, CAPTION, up="top")
    pen.arrow(MARGIN, row[0].left, middle)
    for one, following in pairwise(row):
        if following.box.follows:
            pen.arrow(one.end, following.left, middle)
    if not last:
        pen.arrow(row[-1].end, row[-1].end + GAP, middle)
    if first:
        pen.text(MARGIN, middle - 0.04, "in", SMALL, CAPTION)
    for one in row:
        _draw_box(pen, one, upper, body, fills)


def _draw_box(pen: Pen, one: _Placed, upper: float, body: float, fills: Mapping[str, str]) -> None:
    pen.box(one.left, upper, one.width, body, radius=0.03, fill=fills[one.lines[0]])
    center, middle = one.left + one.width / 2, upper + body / 2
    for k, line in enumerate(one.lines):
        at = middle + (k - (len(one.lines) - 1) / 2) * LINE
        pen.text(center, at, line, SIZE, ON_FILL, across="center", up="center")
    if one.box.times > 1:
        pen.text(one.left + one.width + one.beside, middle, f"{TIMES}{one.box.times}", SIZE, up="center", bold=True)
    pen.text(center, upper + body + 0.03, one.shape, SMALL, CAPTION, across="center", up="top")
    if one.box.shortcut:
        _curve(pen, one.left - 0.05, one.left + one.width + 0.05, middle, upper - 0.08, BLUE, slope=0.1)


def _curve(pen: Pen, start: float, stop: float, middle: float, height: float, color: str, slope: float = SLOPE) -> None:
    """Draw a curved arrow that leaves a horizontal line at `start` and returns to it at `stop`."""
    pen.curve(start, stop, middle, height, min(slope, (stop - start) / 3), color)


Lane = tuple[Edge, int, int]  # a bent edge, its side (-1 above the values, 1 below), and its level on that side


class _Graph:
    """A cell with its values on a line. Edges between neighbours are straight, others bend above or below values."""

    def __init__(self, cell: Cell, heading: str) -> None:
        self._cell, self._heading = cell, heading
        self._halves = [
            max(RADIUS, text_width(text, SIZE) / 2 + 0.04) if len(text) > 1 else RADIUS for text in cell.values
        ]
        self._straight, bent = self._split()
        self._lanes = self._choose_lanes(bent)
        self._places = self._positions()
        self._heights = {side: self._levels(side) for side in (-1, 1)}
        self._above, self._below = (self._extent(side) for side in (-1, 1))
        self.width = max(self._places[-1] + self._halves[-1], text_width(heading, SIZE)) + 3 * MARGIN
        self.height = 0.24 + self._above + self._below

    def draw(self, pen: Pen, left: float, top: float) -> None:
        """Draw the graph with its upper left corner at a position."""
        pen.text(left, top + 0.04, self._heading, SIZE, bold=True, up="top")
        middle = top + 0.18 + self._above
        xs = [left + MARGIN + place for place in self._places]
        for edge in self._straight:
            start, stop = xs[edge.source] + self._halves[edge.source], xs[edge.target] - self._halves[edge.target]
            pen.arrow(start, stop, middle)
            self._write_label(pen, edge, (start + stop) / 2 - 0.02, middle)
        for edge, side, level in self._lanes:
            height = middle + side * self._heights[side][level]
            _curve(pen, xs[edge.source], xs[edge.target], middle + side * RADIUS, height, _edge_color(edge))
            self._write_label(pen, edge, (xs[edge.source] + xs[edge.target]) / 2, height)
        for number, x in enumerate(xs):
            self._draw_value(pen, number, x, middle)

    def _draw_value(self, pen: Pen, number: int, x: float, y: float) -> None:
        out, half = number == self._cell.output, self._halves[number]
        fill = INK if out else FILLS[0] if number < self._cell.inputs else PAPER
        pen.box(x - half, y - RADIUS, 2 * half, 2 * RADIUS, radius=RADIUS, fill=fill, line=0.7, z=4)
        color = PAPER if out else ON_FILL if number < self._cell.inputs else INK
        text = self._cell.values[number] or ("" if not out else "out")
        pen.text(x, y, text, SIZE, color, across="center", up="center", z=5)

    def _write_label(self, pen: Pen, edge: Edge, x: float, y: float) -> None:
        text = "\n".join(edge.lines)
        if text:
            pen.text(x, y, text, SIZE, _edge_color(edge), across="center", up="center", back=True)

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
    return max((text_width(line, SIZE) for line in edge.lines), default=0.0)


def _label_height(edge: Edge) -> float:
    return max(1, len(edge.lines)) * LINE


def _heading(letter: str, cell: Cell, boxes: Sequence[Box]) -> str:
    times = sum(box.times for box in boxes if box.cell == cell)
    return f"cell {letter}, {times} times" if times > 1 else f"cell {letter}"


def _shelves(graphs: Sequence[_Graph], width: float) -> list[list[_Graph]]:
    """Arrange graphs side by side, in as many shelves as needed."""
    shelves: list[list[_Graph]] = []
    for graph in graphs:
        if shelves and sum(one.width for one in shelves[-1]) + graph.width <= width - 2 * MARGIN:
            shelves[-1].append(graph)
        else:
            shelves.append([graph])
    return shelves


def _fills(boxes: Sequence[Box]) -> dict[str, str]:
    """Choose a fill for each kind of block, in the order in which the kinds occur."""
    kinds = dict.fromkeys("cell" if box.cell else box.lines[0] for box in boxes)
    return {kind: FILLS[k % len(FILLS)] for k, kind in enumerate(kinds)}

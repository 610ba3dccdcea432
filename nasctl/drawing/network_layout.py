"""The layout of a picture of a network: blocks in a row and repeated cells as graphs, from names and wiring alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from math import prod

from nasctl.networks.block_notation import block_notation, class_and_fields, describe_block
from nasctl.networks.graph import Emission, Network, Span
from nasctl.networks.layers import Add, AvgPool, Concat, MaxPool, Multiply, WeightedSum, Zero
from nasctl.networks.node import Shape

# Texts of values that combine others.
SIGNS: Mapping[type, str] = {Add: "+", WeightedSum: "+", Multiply: "\N{MULTIPLICATION SIGN}", Concat: "cat"}


@dataclass(frozen=True, slots=True)
class Edge:
    """An operation between two values of a cell. Without lines of text, the value is passed on unchanged."""

    source: int  # place of the value among the cell's values
    target: int
    lines: tuple[str, ...]  # description of the operation


@dataclass(frozen=True, slots=True)
class Cell:
    """A graph of values, in an order in which they can be computed."""

    values: tuple[str, ...]  # text of each value
    inputs: int  # the number of values, at the beginning, that come from outside the cell
    output: int  # place of the output; -1 if the names of values tell which is the output
    edges: tuple[Edge, ...]


@dataclass(frozen=True, slots=True)
class Box:
    """A block or a cell of the row, with its number of repetitions."""

    stage: str  # name of the frame around the box; "" without a frame
    name: str
    lines: tuple[str, ...]
    out: Shape
    shortcut: bool = False  # whether the input is added to the output
    cell: Cell | None = None
    times: int = 1  # number of equal boxes that follow one another
    reads: tuple[str, ...] = ()  # names of the inputs, unless the only input is the box before it
    follows: bool = True  # whether the box before it is an input


def lay_out(network: Network) -> list[Box]:
    """Return the boxes of a network in a row; equal boxes that follow one another are merged."""
    found: list[Box] = []
    used = Counter(i for span in network.spans for i in span.inputs)
    used[network.output] += 1
    names, homes = (
        ["input"],
        {-1 - k: 0 for k in range(len(network.input_shapes))},
    )  # places of values -> number of their box
    for unit in _units(network.spans):
        here, inside = len(names), {_output_of(span) for span in unit}
        homes |= dict.fromkeys(inside, here)
        sources = sorted({i for span in unit for i in span.inputs} - inside)
        back = {place: here - homes[place] for place in sources}
        box = _cell_box(unit, used, back) if len(unit) > 1 else _box(unit[0])
        if not box.cell and set(back.values()) != {1}:
            reads = tuple(dict.fromkeys(names[here - steps] for steps in back.values()))
            box = replace(box, reads=reads, follows=1 in back.values())
        names.append(box.name)
        last = found[-1] if found else None
        if last and replace(box, name=last.name, times=last.times) == last and (box.stage or box.cell):
            found[-1] = replace(last, times=last.times + 1)
        else:
            found.append(box)
    return found


def _units(spans: Sequence[Span]) -> Iterator[Sequence[Span]]:
    """Yield the spans of each box: the spans of a cell together, all others one by one."""
    for _, group in groupby(spans, key=lambda span: _cell_name(span.name)):
        unit = list(group)
        yield from [unit] if _is_cell(unit) else ([span] for span in unit)


def _cell_name(name: str) -> str:
    """Return the name of a span's cell or stage: "stage1.0" of "stage1.0.edge01", "stage1" of "stage1.0"."""
    parts = name.split(".")
    return ".".join(parts[:2]) if len(parts) > 2 else parts[0]


def _is_cell(spans: Sequence[Span]) -> bool:
    """Return whether spans are wired as a graph, or named as the parts of one block."""
    chained = all(after.inputs == (_output_of(before),) for before, after in pairwise(spans))
    return not chained or (len(spans) > 1 and len(spans[0].name.split(".")) > 2)


def _box(span: Span) -> Box:
    stage, emission = span.name.rpartition(".")[0].split(".")[0], span.emission
    return Box(
        stage, span.name, describe_block(emission), emission.out_shape, _shortcut(emission), _step_graph(emission)
    )


def _step_graph(emission: Emission) -> Cell | None:
    """Return the graph of a block with a field of steps: each has a name, an operation and the names of its inputs."""
    fields = class_and_fields(emission)[1].values()
    steps = next((one for one in fields if isinstance(one, tuple) and one and all(map(_is_step, one))), None)
    if steps is None:
        return None
    made = {name for name, _, _ in steps}
    outside = dict.fromkeys(one for _, _, reads in steps for one in reads if one not in made)
    places = {name: k for k, name in enumerate((*outside, *(name for name, _, _ in steps)))}
    edges = tuple(Edge(places[one], places[name], ()) for name, _, reads in steps for one in reads)
    return Cell((*outside, *(_step_text(name, operation) for name, operation, _ in steps)), len(outside), -1, edges)


def _step_text(name: str, operation: str) -> str:
    """Return the text of a step's value: "sum" for "elementwise_sum", after the step's name unless it is "node..."."""
    word = operation.partition("_")[2] or operation
    return word if name.startswith("node") else f"{name}: {word}"


def _is_step(one: object) -> bool:
    match one:
        case (str(), str(), tuple()):
            return True
    return False


def _shortcut(emission: Emission) -> bool:
    """Return whether a block's output is a sum of its input and another value, perhaps behind an activation."""
    node = emission.nodes[emission.output]
    while len(node.inputs) == 1 and node.inputs[0] >= 0 and not node.layer.params(*node.in_shapes):
        node = emission.nodes[node.inputs[0]]
    return isinstance(node.layer, Add) and -1 in node.inputs


def _cell_box(spans: Sequence[Span], used: Counter[int], back: Mapping[int, int]) -> Box:
    """Return the box of a cell.

    Args:
        spans: The spans of the cell.
        used: Number of readers of each position.
        back: For each value from outside, the number of boxes between its box and this one.
    """
    name = _cell_name(spans[0].name)
    graph = _CellGraph(spans, used, back)
    shape = graph.made[graph.output].emission.out_shape
    return Box(name.split(".")[0] if "." in name else "", name, (), shape, cell=graph.cell())


def _output_of(span: Span) -> int:
    """Return the position of a span's output."""
    return span.start + span.emission.output


class _CellGraph:
    """The conversion of the spans of a cell into values and edges."""

    def __init__(self, spans: Sequence[Span], used: Counter[int], back: Mapping[int, int]) -> None:
        self._spans, self._back = spans, back
        inside = Counter(i for span in spans for i in span.inputs)
        self.made = {_output_of(span): span for span in spans}
        self._merged = {
            _output_of(span)
            for span in spans
            if len(set(span.inputs)) > 1 or type(span.emission.nodes[-1].layer) in SIGNS  # x + x has one input
        }
        self._outside = {place for place in self.made if used[place] > inside[place]}
        self._readers = {place: [span for span in spans if place in span.inputs] for place in self.made}
        self.output = max(self._outside, default=_output_of(spans[-1]))

    def cell(self) -> Cell:
        # "in" is the output of the box before the cell, "k-2" the output of the box before that one.
        names = ["in" if steps == 1 else f"k\N{MINUS SIGN}{steps}" for steps in self._back.values()]
        values = {place: number for number, place in enumerate(self._back)}
        edges = []
        for span in self._spans:
            place = _output_of(span)
            if place not in self._merged and self._is_edge(place):
                continue
            values[place] = len(names)
            names.append(_value_text(span) if place in self._merged else "")
            for end in span.inputs if place in self._merged else (place,):
                source, lines = self._chain(end, values, place)
                made = (
                    source in self._merged and _value_text(self.made[source]) != SIGNS[Add]
                )  # an operation computed it, so this is no skip
                plain = ("skip",) if isinstance(span.emission.nodes[-1].layer, Add) and not made else ()
                edges.append(Edge(values[source], values[place], lines or plain))
        return Cell(tuple(names), len(self._back), values[self.output], tuple(edges))

    def _is_edge(self, place: int) -> bool:
        """Return whether a value is drawn as part of an edge: only a merge or a minor operation reads it."""
        if place in self._outside or len(self._readers[place]) != 1:
            return False
        (reader,) = self._readers[place]
        return _output_of(reader) in self._merged or _minor(reader)

    def _chain(self, place: int, values: Mapping[int, int], target: int) -> tuple[int, tuple[str, ...]]:
        """Return the value with which a chain of operations begins, and the descriptions of the operations."""
        descriptions: list[tuple[str, ...]] = []
        while (place not in values or place == target) and place not in self._merged:
            span = self.made[place]
            descriptions.append(describe_block(span.emission))
            (place,) = set(span.inputs)
        return place, tuple(" ".join(one) for one in reversed(descriptions))


def _minor(span: Span) -> bool:
    """Return whether a span is a norm, an activation or a reshape, which is described with the operation before it."""
    emission = span.emission
    (only, *more), (shape, *others) = emission.nodes, emission.in_shapes
    if more or others or emission.macs or isinstance(only.layer, AvgPool | MaxPool | Zero):
        return False
    return prod(shape) == prod(emission.out_shape)


def _value_text(span: Span) -> str:
    sign = SIGNS.get(type(span.emission.nodes[-1].layer)) if len(span.emission.nodes) == 1 else None
    return sign or block_notation(span.emission)


def cell_letters(boxes: Sequence[Box]) -> dict[Cell, str]:
    """Choose a letter for each different cell."""
    cells = dict.fromkeys(box.cell for box in boxes if box.cell)
    return dict(zip(cells, _letters(), strict=False))


def _letters() -> Iterator[str]:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    yield from alphabet
    yield from (one + other for one in alphabet for other in alphabet)

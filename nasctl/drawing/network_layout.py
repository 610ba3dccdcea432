"""What a picture of a network shows: blocks in a row, repeated cells as graphs; found from names and wiring alone."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from math import prod
from typing import Any

from nasctl.networks.graph import Emission, Network, Span
from nasctl.networks.layers import Add, AvgPool, Concat, Conv, MaxPool, Multiply, Zero
from nasctl.networks.node import Shape

SIGNS: Mapping[type, str] = {Add: "+", Multiply: "\N{MULTIPLICATION SIGN}", Concat: "cat"}
SIZES = ("channels", "units", "classes", "width")  # fields of a block that are said if its output's shape does not
# Others that its shapes say, or that say little.
UNSAID = frozenset(
    ("bias", "norm", "vocabulary", "in_channels", "out_channels", "padding", "in_features", "out_features",
     "num_features", "eps", "dtypes", "normalized_shape", "start_dim", "squeezed", "input_size", "batch_first",
     "num_layers", "proj_size", "dropout", "embed_dim", "kdim", "vdim")
)  # fmt: skip
SHORT = 14  # letters of a value that are still shown


@dataclass(frozen=True, slots=True)
class Edge:
    """An operation between two values of a cell, by their numbers; no lines mean that the value itself is handed on."""

    source: int
    target: int
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """A graph of values, in an order in which they can be computed: what is written in each, and what leads to it."""

    values: tuple[str, ...]
    inputs: int  # so many of the first come from outside
    output: int  # -1 if its values have names that say it
    edges: tuple[Edge, ...]


@dataclass(frozen=True, slots=True)
class Box:
    """A block, or a cell, of the row; `times` of them follow one another."""

    stage: str  # what all that stands in one frame has in common; "" if it stands in none
    name: str
    lines: tuple[str, ...]
    out: Shape
    shortcut: bool = False  # whether its input is added to its output
    cell: Cell | None = None
    times: int = 1
    reads: tuple[str, ...] = ()  # what it reads, if that is not the box before it alone
    follows: bool = True  # whether it reads the box before it


def lay_out(network: Network) -> list[Box]:
    """The boxes of a network's row; equal ones that follow one another are one."""
    found: list[Box] = []
    used = Counter(i for span in network.spans for i in span.inputs)
    used[network.output] += 1
    names, homes = ["input"], {-1 - k: 0 for k in range(len(network.input_shapes))}  # of values: the boxes they are of
    for unit in _units(network.spans):
        here, inside = len(names), {_place(span) for span in unit}
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


def describe_block(emission: Emission) -> tuple[str, ...]:
    """A block in words: its name, and what it was made with, such as "5x5", "e6", "/2"."""
    title, fields = _made_with(emission)
    fields = {name: value for name, value in fields.items() if name not in SIZES or value not in emission.out_shape}
    if title == "Leaf":  # a layer of torch by its name
        title, fields = str(fields["kind"]).removeprefix("nn."), dict(fields.get("options", ()))
    elif title == "Function":
        title, fields = str(fields["steps"][-1][0]).rpartition(".")[2].strip("_"), {}
    kernels = {node.layer.kernel for node in emission.nodes if isinstance(node.layer, Conv)}
    if len(kernels) == 1 and not fields.keys() & {"kernel", "kernel_size", "size"}:  # which may be at its default
        fields = {"kernel": kernels.pop(), **fields}
    return (title, *(text for name, value in fields.items() if (text := _told(name, value))))


def _made_with(emission: Emission) -> tuple[str, dict[str, Any]]:
    """The class of a block, and the fields that are not at their default."""
    call = ast.parse(emission.key.partition(" @ ")[0], mode="eval").body
    assert isinstance(call, ast.Call)
    return ast.unparse(call.func).rpartition(".")[2], {str(one.arg): _value(one.value) for one in call.keywords}


def _value(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)


def _told(name: str, value: Any) -> str:
    """A field as it is written in a box; nothing if it is not."""
    if name in ("kernel", "kernel_size", "size") and not isinstance(value, str):
        sides = value if isinstance(value, tuple) and len(value) > 1 else (value, value)
        return "\N{MULTIPLICATION SIGN}".join(map(str, sides)) if not isinstance(sides[0], tuple) else str(value[0])
    if name == "stride":
        return f"/{value}" if value not in (1, (1,)) else ""
    if name in UNSAID or value is None or value is False or value == ():
        return ""
    if value is True:
        return name
    if isinstance(value, str):
        return value if len(value) <= SHORT else ""
    letter = {"expand": "e", "groups": "g", "dilation": "d"}.get(name)
    value = ",".join(map(str, value)) if isinstance(value, tuple) else value
    text = f"{letter}{value:g}" if letter and isinstance(value, int | float) else f"{name} {value}"
    return text if len(text) <= 2 * SHORT else ""


def _units(spans: Sequence[Span]) -> Iterator[Sequence[Span]]:
    """The spans of each box: those of a cell together, all others one by one."""
    for _, group in groupby(spans, key=lambda span: _unit(span.name)):
        unit = list(group)
        yield from [unit] if _is_cell(unit) else ([span] for span in unit)


def _unit(name: str) -> str:
    """What the spans of a cell or a stage have in common: "stage1.0" of "stage1.0.edge01", "stage1" of "stage1.0"."""
    parts = name.split(".")
    return ".".join(parts[:2]) if len(parts) > 2 else parts[0]


def _is_cell(spans: Sequence[Span]) -> bool:
    """Whether spans are wired as a graph, or named as the parts of one block."""
    chained = all(after.inputs == (_place(before),) for before, after in pairwise(spans))
    return not chained or (len(spans) > 1 and len(spans[0].name.split(".")) > 2)


def _box(span: Span) -> Box:
    stage, emission = span.name.rpartition(".")[0].split(".")[0], span.emission
    return Box(stage, span.name, describe_block(emission), emission.out_shape, _shortcut(emission), _inner(emission))


def _inner(emission: Emission) -> Cell | None:
    """The graph of a block that was made with steps: each a name, an operation, and the names of what it reads."""
    fields = _made_with(emission)[1].values()
    steps = next((one for one in fields if isinstance(one, tuple) and one and all(map(_is_step, one))), None)
    if steps is None:
        return None
    made = {name for name, _, _ in steps}
    outside = dict.fromkeys(one for _, _, reads in steps for one in reads if one not in made)
    places = {name: k for k, name in enumerate((*outside, *(name for name, _, _ in steps)))}
    edges = tuple(Edge(places[one], places[name], ()) for name, _, reads in steps for one in reads)
    return Cell((*outside, *(_step(name, operation) for name, operation, _ in steps)), len(outside), -1, edges)


def _step(name: str, operation: str) -> str:
    """What is written in the value of a step: "sum" for "elementwise_sum", and a name that is not just "node"."""
    word = operation.partition("_")[2] or operation
    return word if name.startswith("node") else f"{name}: {word}"


def _is_step(one: object) -> bool:
    match one:
        case (str(), str(), tuple()):
            return True
    return False


def _shortcut(emission: Emission) -> bool:
    """Whether a block puts out a sum of its input and something else, perhaps behind an activation."""
    node = emission.nodes[emission.output]
    while len(node.inputs) == 1 and node.inputs[0] >= 0 and not node.layer.params(*node.in_shapes):
        node = emission.nodes[node.inputs[0]]
    return isinstance(node.layer, Add) and -1 in node.inputs


def _cell_box(spans: Sequence[Span], used: Counter[int], back: Mapping[int, int]) -> Box:
    """A cell; `back` has how many boxes before it each value from outside was made."""
    name = _unit(spans[0].name)
    drafted = _Drafted(spans, used, back)
    shape = drafted.made[drafted.output].emission.out_shape
    return Box(name.split(".")[0] if "." in name else "", name, (), shape, cell=drafted.cell())


def _place(span: Span) -> int:
    """The position of a span's output."""
    return span.start + span.emission.output


class _Drafted:
    """A cell on its way from spans to values and edges."""

    def __init__(self, spans: Sequence[Span], used: Counter[int], back: Mapping[int, int]) -> None:
        self._spans, self._back = spans, back
        inside = Counter(i for span in spans for i in span.inputs)
        self.made = {_place(span): span for span in spans}
        self._merged = {
            _place(span)
            for span in spans
            if len(set(span.inputs)) > 1 or type(span.emission.nodes[-1].layer) in SIGNS  # x + x has one input
        }
        self._outside = {place for place in self.made if used[place] > inside[place]}
        self._readers = {place: [span for span in spans if place in span.inputs] for place in self.made}
        self.output = max(self._outside, default=_place(spans[-1]))

    def cell(self) -> Cell:
        # A value that the box before has made is "in"; "k-2" is from two boxes before.
        names = ["in" if steps == 1 else f"k\N{MINUS SIGN}{steps}" for steps in self._back.values()]
        values = {place: number for number, place in enumerate(self._back)}
        edges = []
        for span in self._spans:
            place = _place(span)
            if place not in self._merged and self._is_edge(place):
                continue
            values[place] = len(names)
            names.append(_sign(span) if place in self._merged else "")
            for end in span.inputs if place in self._merged else (place,):
                source, lines = self._walked(end, values, place)
                made = source in self._merged and _sign(self.made[source]) != SIGNS[Add]  # by an operation, so no skip
                plain = ("skip",) if isinstance(span.emission.nodes[-1].layer, Add) and not made else ()
                edges.append(Edge(values[source], values[place], lines or plain))
        return Cell(tuple(names), len(self._back), values[self.output], tuple(edges))

    def _is_edge(self, place: int) -> bool:
        """Whether a value is only on its way to a sum, or to what is told together with it."""
        if place in self._outside or len(self._readers[place]) != 1:
            return False
        (reader,) = self._readers[place]
        return _place(reader) in self._merged or _minor(reader)

    def _walked(self, place: int, values: Mapping[int, int], target: int) -> tuple[int, tuple[str, ...]]:
        """The value that a chain of operations begins with, and what the chain does."""
        told: list[tuple[str, ...]] = []
        while (place not in values or place == target) and place not in self._merged:
            span = self.made[place]
            told.append(describe_block(span.emission))
            (place,) = set(span.inputs)
        return place, tuple(" ".join(one) for one in reversed(told))


def _minor(span: Span) -> bool:
    """Whether a span is a norm, an activation or another form of the same numbers, told with what it follows."""
    emission = span.emission
    (only, *more), (shape, *others) = emission.nodes, emission.in_shapes
    if more or others or emission.macs or isinstance(only.layer, AvgPool | MaxPool | Zero):
        return False
    return prod(shape) == prod(emission.out_shape)


def _sign(span: Span) -> str:
    sign = SIGNS.get(type(span.emission.nodes[-1].layer)) if len(span.emission.nodes) == 1 else None
    return sign or " ".join(describe_block(span.emission))


def cell_letters(boxes: Sequence[Box]) -> dict[Cell, str]:
    """A letter for each different cell."""
    cells = dict.fromkeys(box.cell for box in boxes if box.cell)
    return dict(zip(cells, _letters(), strict=False))


def _letters() -> Iterator[str]:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    yield from alphabet
    yield from (one + other for one in alphabet for other in alphabet)

"""Networks as data: layers, their shapes and their wiring, and a builder. This module does not import torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from functools import cached_property, lru_cache
from math import prod
from typing import TYPE_CHECKING, NamedTuple, Protocol

from nasctl.networks.node import Layer, Node, Shape, Sharing, attribute_name, check_names, name_clash

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nasctl.networks.trace_reader import TracedLayer


class Block(Protocol):
    """A named composition of layers: a frozen dataclass such as `MBConv(channels=40, kernel=5, expand=6, stride=2)`."""

    def emit(self, net: Builder, *inputs: int) -> int:
        """Add the layers of the block to `net` and return the position of its output."""
        ...

    def __hash__(self) -> int:
        """Return the hash of the fields: the emission of equal blocks is computed once."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Emission:
    """The layers and costs of a block (or a layer) on given input shapes, computed once and shared by all networks."""

    key: str  # the key of its row in a latency table: "MBConv(channels=40, kernel=5, expand=6, stride=2) @ 24x56x56"
    in_shapes: tuple[Shape, ...]
    nodes: tuple[Node, ...]
    output: int
    out_shape: Shape
    params: int
    macs: int

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Emission) and self.key == other.key  # all other fields follow from the key

    def __hash__(self) -> int:
        return hash(self.key)


class Span(NamedTuple):
    """An emission at its position in a network: one outermost block, and the unit in which latency is measured."""

    name: str
    inputs: tuple[int, ...]
    start: int  # the span's nodes are Network.nodes[start : start + len(emission.nodes)]
    emission: Emission

    def nodes(self) -> Iterable[Node]:
        """Yield the nodes of the span, with their names and positions in the network."""
        for node in self.emission.nodes:
            inputs = tuple(self.start + i if i >= 0 else self.inputs[-1 - i] for i in node.inputs)
            name = f"{self.name}.{node.name}".rstrip(".")
            yield replace(node, name=name, inputs=inputs)

    def alone(self) -> Network:
        """Return a network of this span alone, for measuring it."""
        inputs = tuple(-1 - k for k in range(len(self.inputs)))
        return Network(self.emission.in_shapes, (Span(self.name, inputs, 0, self.emission),), self.emission.output)


class SharedLayer(NamedTuple):
    """What a span of one layer shares with earlier spans of one layer."""

    module_of: str  # name of the span whose module computes this one too; empty if none does
    tensors: tuple[Sharing, ...]  # parameters and buffers of other spans


@dataclass(frozen=True)
class Network:
    """Layers, shapes and wiring; immutable. Costs, modules and exports of a candidate are derived from it."""

    input_shapes: tuple[Shape, ...]
    spans: tuple[Span, ...]  # in an order in which they can run
    output: int  # position of the node whose value the network returns
    # Positions of the nodes whose outputs end the blocks that metrics compare; None derives blocks from names and
    # wiring.
    block_ends: tuple[int, ...] | None = None
    shared: tuple[tuple[int, SharedLayer], ...] = ()  # by the place of a span in `spans`

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """All layers, in an order in which they can run."""
        shared = dict(self.shared)
        found: list[Node] = []
        for place, span in enumerate(self.spans):
            given = shared.get(place)
            if given is None:
                found += span.nodes()
            else:
                found += [replace(node, module_of=given.module_of, shared=given.tensors) for node in span.nodes()]
        return tuple(found)

    def nodes_of(self, span: Span) -> tuple[Node, ...]:
        """Return the layers of a span."""
        return self.nodes[span.start : span.start + len(span.emission.nodes)]

    @cached_property
    def params(self) -> int:
        """Number of trainable parameters."""
        every = sum(span.emission.params for span in self.spans)
        return every - sum(
            self.spans[place].emission.params if given.module_of else sum(one.number for one in given.tensors)
            for place, given in self.shared
        )

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates for one example, counted as in `Layer.macs`."""
        return sum(span.emission.macs for span in self.spans)

    @cached_property
    def memory(self) -> int:
        """Peak activation memory in bytes for one float32 example, without operations in place.

        Nodes run in their order. While a node runs, memory holds its inputs, its output, and every value that a later
        node or the caller still needs.
        """
        sizes = {-1 - k: prod(shape) for k, shape in enumerate(self.input_shapes)}
        sizes |= {k: prod(node.out_shape) for k, node in enumerate(self.nodes)}
        last = {i: k for k, node in enumerate(self.nodes) for i in node.inputs} | {self.output: len(self.nodes)}
        dying: dict[int, list[int]] = {}  # values, by the node after which no node needs them
        for value in sizes:
            dying.setdefault(last.get(value, value), []).append(value)  # without a reader: after its own node
        live = most = sum(sizes[value] for value in sizes if value < 0 and value in last)
        for k in range(len(self.nodes)):
            live += sizes[k]
            most = max(most, live)
            live -= sum(sizes[value] for value in dying.get(k, ()))
        return 4 * most

    @property
    def out_shape(self) -> Shape:
        """Shape of the network's output for one example."""
        span = next(span for span in reversed(self.spans) if span.start <= self.output)
        return span.emission.nodes[self.output - span.start].out_shape  # without computing all nodes

    @classmethod
    def from_module(cls, module: nn.Module, input_shape: Shape) -> Network:
        """Trace a torch module that was written without nasctl, and return it as a network; each layer is a span.

        A layer of torch.nn that equals one of nasctl's layers becomes that layer. Any other layer or function becomes a
        layer whose shapes, parameters and MACs are found by running it on torch's meta device. Dropout is left out. The
        network is run against the module, with the module's weights, before it is returned. Buffers and frozen
        parameters of no layer keep their values; other weights are drawn anew by `module`.

        Args:
            module: A module that takes one tensor and returns one tensor, both with the batch as first dimension. It
                takes tokens if it has an embedding and `input_shape` has one number, or if it fails for floats.
            input_shape: Shape of one example, without the batch.

        Raises:
            NasctlError: The module cannot be traced, or its network would compute something else; the message says
                why, and names the first layer that differs.
        """
        from nasctl.networks.from_module import traced_network

        shape = tuple(input_shape)
        return traced_network(module, shape, lambda steps, output: _network_of(steps, output, shape))

    @staticmethod
    def weights_of_module(module: nn.Module, input_shape: Shape) -> dict[str, Tensor]:
        """Return the weights of a trained torch module as a state dict of the module of `from_module`'s network.

        A training of nasctl can begin with them. Statistics of norms are among them.

        Args:
            module: A module as `from_module` takes it.
            input_shape: Shape of one example, without the batch.

        Returns:
            Copies of the tensors on the CPU, by their names in `Network.from_module(module, input_shape).module()`.

        Raises:
            NasctlError: The module cannot be traced, or its network would compute something else.
        """
        from nasctl.networks.from_module import weights_of_module

        shape = tuple(input_shape)
        return weights_of_module(module, shape, lambda steps, output: _network_of(steps, output, shape))

    def module(self) -> nn.Module:
        """Return a new torch module with weights drawn from torch's global generator."""
        from nasctl.networks.executable import Executable

        return Executable(self.nodes, self.output)


class Builder:
    """A network under construction: layers and blocks are added one by one, and their shapes are known at once."""

    def __init__(self, *input_shapes: Shape) -> None:
        self.inputs = tuple(-1 - k for k in range(len(input_shapes)))  # positions of the inputs
        self._shapes = dict(zip(self.inputs, input_shapes, strict=True))
        self._spans: dict[str, Span] = {}  # by the attribute that its name becomes in the network's module
        self._size = 0
        self._shared: list[tuple[int, SharedLayer]] = []

    def shape(self, at: int) -> Shape:
        """Return the shape of the value at a position that `add` returned."""
        return self._shapes[at]

    def add(self, part: Layer | Block, *inputs: int, name: str, shared: SharedLayer | None = None) -> int:
        """Append a layer or a block and return the position of its output.

        Args:
            part: The layer or block.
            *inputs: Positions of its inputs.
            name: Its name.
            shared: What a layer shares with earlier layers.

        Raises:
            NasctlError: `name` is the name of an earlier layer or block, or differs from one only in "." and "_".
        """
        shapes, start = self._shapes, self._size
        # Most layers have one input, and building networks is a large part of a search on latency alone.
        in_shapes = (shapes[inputs[0]],) if len(inputs) == 1 else tuple([shapes[i] for i in inputs])
        emission = emission_of(part, in_shapes)
        # A block such as Identity has no node and hands on its own input.
        at = start + emission.output if emission.output >= 0 else inputs[-1 - emission.output]
        if emission.nodes:
            attribute = attribute_name(name)
            if attribute in self._spans:
                raise name_clash(self._spans[attribute].name, name, attribute)
            self._spans[attribute] = Span(name, inputs, start, emission)
            if shared is not None:
                self._shared.append((len(self._spans) - 1, shared))
            self._size = start + len(emission.nodes)
        shapes[at] = emission.out_shape
        return at

    def build(self, output: int, *, block_ends: Iterable[int] | None = None) -> Network:
        """Return the network whose output is the value at position `output`.

        Args:
            output: Position of the output.
            block_ends: Positions of the values with which the blocks of the network end, from the stem on, for metrics
                that compare blocks. Without them the blocks follow from the names and the wiring of the parts: "cell1"
                of "cell1.edge01", and "stage1.0" of "stage1.0.conv" if the parts of "stage1" follow one another.

        Names that clash across blocks, such as "b.c" in a block "a" and "c" in a block "a.b", are refused when the
        network's module is made: a check of every network here would slow down describing candidates by a tenth.
        """
        shapes = tuple(self._shapes[i] for i in self.inputs)
        ends = None if block_ends is None else tuple(block_ends)
        return Network(shapes, tuple(self._spans.values()), output, ends, tuple(self._shared))


def _network_of(steps: Iterable[TracedLayer], output: int, shape: Shape) -> Network:
    """Return the network of traced layers, whose inputs are places of earlier layers, and -1 is the input."""
    net, places = Builder(shape), list[int]()
    for step in steps:
        inputs = [places[i] if i >= 0 else i for i in step.inputs]
        shared = SharedLayer(step.module_of, step.shared) if step.module_of or step.shared else None
        places.append(net.add(step.layer, *inputs, name=step.name, shared=shared))
    return net.build(places[output] if output >= 0 else output)


@lru_cache(maxsize=1 << 16)
def emission_of(part: Layer | Block, in_shapes: tuple[Shape, ...]) -> Emission:
    """Return the emission of a layer or block on these input shapes.

    Candidates share most of their blocks, so emissions are cached.
    """
    net = Builder(*in_shapes)
    if isinstance(part, Layer):
        nodes: tuple[Node, ...] = (Node("", part, net.inputs, in_shapes, part.out(*in_shapes)),)
        output, params, macs = 0, part.params(*in_shapes), part.macs(*in_shapes)
    else:
        inner = net.build(part.emit(net, *net.inputs))
        check_names(inner.nodes)
        nodes, output, params, macs = inner.nodes, inner.output, inner.params, inner.macs
    out_shape = nodes[output].out_shape if output >= 0 else in_shapes[-1 - output]
    return Emission(block_key(part, in_shapes), in_shapes, nodes, output, out_shape, params, macs)


def block_key(part: Layer | Block, in_shapes: tuple[Shape, ...]) -> str:
    """Return the key of a layer or block: its call and its input shapes.

    An example is "MBConv(channels=40, kernel=5, expand=6) @ 24x56x56". Fields at their defaults are left out, so that a
    field added later changes no key of a latency table. The key of a plug-in's own block begins with the name of its
    module, as in "nb201.Reduction(...)", so that blocks of two plug-ins never share a key.
    """
    kind = type(part)
    module = kind.__module__.rpartition(".")[2].lstrip("_")
    home = "" if kind.__module__.startswith("nasctl.networks.") else f"{module}."
    given = ((field, getattr(part, field.name)) for field in fields(part))  # type: ignore[arg-type]  # a dataclass
    call = f"{home}{kind.__name__}({', '.join(f'{f.name}={_field_text(v)}' for f, v in given if v != f.default)})"
    return f"{call} @ {', '.join('x'.join(map(str, shape)) for shape in in_shapes)}"


def _field_text(value: object) -> str:
    """Return a field's value as text, 3.0 as "3": equal blocks have equal keys."""
    return f"{value:g}" if isinstance(value, float) else repr(value)

"""A network as data: which layers run on which shapes, in which order. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from functools import cached_property, lru_cache
from math import prod
from typing import TYPE_CHECKING, NamedTuple, Protocol

from nasctl.errors import NasctlError
from nasctl.networks.node import Layer, Node, Shape, attribute_name

if TYPE_CHECKING:
    from torch import nn


class Block(Protocol):
    """A named composition, also a frozen dataclass: `MBConv(channels=40, kernel=5, expand=6, stride=2)`."""

    def emit(self, net: Builder, *inputs: int) -> int:
        """Add the parts to `net` and return the position of the output."""
        ...

    def __hash__(self) -> int:
        """Blocks are values: what equal ones emit is computed once."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Emission:
    """What a block (or a layer) amounts to on given input shapes: computed once, shared by every network."""

    key: str  # its row in a latency table: "MBConv(channels=40, kernel=5, expand=6, stride=2) @ 24x56x56"
    in_shapes: tuple[Shape, ...]
    nodes: tuple[Node, ...]
    output: int
    out_shape: Shape
    params: int
    macs: int

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Emission) and self.key == other.key  # the key says all that the rest follows from

    def __hash__(self) -> int:
        return hash(self.key)


class Span(NamedTuple):
    """An emission in its place: what one outermost block put into a network, and the unit a device is measured in."""

    name: str
    inputs: tuple[int, ...]
    start: int  # its nodes are Network.nodes[start : start + len(emission.nodes)]
    emission: Emission

    def nodes(self) -> Iterable[Node]:
        """Its nodes, with names and positions as the network has them."""
        for node in self.emission.nodes:
            inputs = tuple(self.start + i if i >= 0 else self.inputs[-1 - i] for i in node.inputs)
            yield replace(node, name=f"{self.name}.{node.name}".rstrip("."), inputs=inputs)

    def alone(self) -> Network:
        """A network of this span and nothing else, to be measured."""
        inputs = tuple(-1 - k for k in range(len(self.inputs)))
        return Network(self.emission.in_shapes, (Span(self.name, inputs, 0, self.emission),), self.emission.output)


@dataclass(frozen=True)
class Network:
    """Layers, shapes and wiring; immutable. Everything else about a candidate is derived from it."""

    input_shapes: tuple[Shape, ...]
    spans: tuple[Span, ...]  # in an order in which they can run
    output: int  # position of the node whose value the network returns

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """Every layer, in an order in which they can run."""
        return tuple(node for span in self.spans for node in span.nodes())

    @cached_property
    def params(self) -> int:
        """Number of trainable parameters."""
        return sum(span.emission.params for span in self.spans)

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates for one example, counted as `Layer.macs` says."""
        return sum(span.emission.macs for span in self.spans)

    @cached_property
    def memory(self) -> int:
        """Peak activation memory in bytes: one example, float32, nodes run in their order, nothing in place.

        At every node that is its inputs, its output and whatever a later node, or the caller, still needs.
        """
        sizes = {-1 - k: prod(shape) for k, shape in enumerate(self.input_shapes)}
        sizes |= {k: prod(node.out_shape) for k, node in enumerate(self.nodes)}
        last = {i: k for k, node in enumerate(self.nodes) for i in node.inputs} | {self.output: len(self.nodes)}
        dying: dict[int, list[int]] = {}  # values by the node after which nothing needs them
        for value in sizes:
            dying.setdefault(last.get(value, value), []).append(value)  # what nothing reads dies where it is made
        live = most = sum(sizes[value] for value in sizes if value < 0 and value in last)
        for k in range(len(self.nodes)):
            live += sizes[k]
            most = max(most, live)
            live -= sum(sizes[value] for value in dying.get(k, ()))
        return 4 * most

    @property
    def out_shape(self) -> Shape:
        """Shape of what the network returns for one example."""
        span = next(span for span in reversed(self.spans) if span.start <= self.output)
        return span.emission.nodes[self.output - span.start].out_shape  # without making all nodes

    @classmethod
    def from_module(cls, module: nn.Module, input_shape: Shape) -> Network:
        """The network of a module written elsewhere, as torch.fx sees it; each of its layers is a span.

        Layers of torch.nn that are equal to nasctl's own become those; all else becomes a layer of its own kind, whose
        shapes, parameters and MACs are found by running it on torch's meta device. Dropout is left out.

        Args:
            module: Takes one tensor and returns one, both with the batch first. Where its first layer is an embedding
                and the shape has one number, it takes tokens.
            input_shape: Of one example, without the batch.

        Raises:
            NasctlError: It cannot be traced; the message says why.
        """
        from nasctl.networks.from_module import traced

        shape = tuple(input_shape)
        steps, output = traced(module, shape)
        net = Builder(shape)
        places: list[int] = []
        for step in steps:
            places.append(net.add(step.layer, *[places[i] if i >= 0 else i for i in step.inputs], name=step.name))
        return net.build(places[output] if output >= 0 else output)

    def module(self) -> nn.Module:
        """A new torch module, with weights drawn from torch's global generator."""
        from nasctl.networks.executable import Executable

        return Executable(self.nodes, self.output)


class Builder:
    """Adds layers and blocks one after another; knows the shape of everything added so far."""

    def __init__(self, *input_shapes: Shape) -> None:
        self.inputs = tuple(-1 - k for k in range(len(input_shapes)))  # positions of the inputs
        self._shapes = dict(zip(self.inputs, input_shapes, strict=True))
        self._spans: dict[str, Span] = {}  # by the attribute that its name becomes in the network's module
        self._parents: set[str] = set()  # attributes of blocks that could hold a layer of a span's name
        self._size = 0

    def shape(self, at: int) -> Shape:
        """Shape of the value at a position that `add` returned."""
        return self._shapes[at]

    def add(self, what: Layer | Block, *inputs: int, name: str) -> int:
        """Append a layer or a block and return the position of its output.

        Raises:
            NasctlError: `name` is the name of an earlier layer or block, or differs from one only in "." and "_".
        """
        shapes, start = self._shapes, self._size
        # Most layers have one input, and building networks is a large part of a search on latency alone.
        in_shapes = (shapes[inputs[0]],) if len(inputs) == 1 else tuple([shapes[i] for i in inputs])
        emission = emitted(what, in_shapes)
        # A block such as Identity has no node and hands on its own input.
        at = start + emission.output if emission.output >= 0 else inputs[-1 - emission.output]
        if emission.nodes:
            attribute, parent = _attribute_and_parent(name)
            if attribute in self._spans:
                raise _name_clash(self._spans[attribute].name, name, attribute)
            self._spans[attribute] = Span(name, inputs, start, emission)
            self._parents.add(parent)
            self._size = start + len(emission.nodes)
        shapes[at] = emission.out_shape
        return at

    def build(self, output: int) -> Network:
        """Return the network whose output is the value at position `output`.

        Raises:
            NasctlError: The modules of two layers would have the same attribute, such as those of "b.c" in a block "a"
                and of "c" in a block "a.b".
        """
        self._check_nested_names()
        return Network(tuple(self._shapes[i] for i in self.inputs), tuple(self._spans.values()), output)

    def _check_nested_names(self) -> None:
        """Compare the layers of each block with the layers of blocks whose names begin with its name."""
        beginnings = {beginning for parent in self._parents for beginning in _beginnings(parent)}
        for outer in beginnings & self._spans.keys():
            names = {attribute_name(node.name): node.name for node in self._spans[outer].nodes()}
            for attribute, span in self._spans.items():
                if not attribute.startswith(f"{outer}_"):
                    continue
                for node in span.nodes():
                    clash = attribute_name(node.name)
                    if clash in names:
                        raise _name_clash(names[clash], node.name, clash)


@lru_cache(maxsize=1 << 12)  # the networks of a space share their names
def _attribute_and_parent(name: str) -> tuple[str, str]:
    """Return the attribute of a layer or block, and its beginning up to the last "_": "a_b_c" and "a_b" for "a.b.c"."""
    attribute = attribute_name(name)
    return attribute, attribute.rpartition("_")[0]


@lru_cache(maxsize=1 << 12)
def _beginnings(attribute: str) -> tuple[str, ...]:
    """Return an attribute and its beginnings up to each "_": "a_b" and "a" for "a_b"."""
    ends = [k for k, letter in enumerate(attribute) if letter == "_"]
    return (attribute, *(attribute[:k] for k in ends))


def _name_clash(first: str, second: str, attribute: str) -> NasctlError:
    if first == second:
        return NasctlError(f"cannot add a second layer named {first!r}; give each layer of a network its own name")
    return NasctlError(
        f"cannot have the layers {first!r} and {second!r} in one network: the modules of both would be its attribute"
        f" {attribute!r}; rename one"
    )


@lru_cache(maxsize=1 << 16)
def emitted(what: Layer | Block, in_shapes: tuple[Shape, ...]) -> Emission:
    """What `what` puts into a network on these input shapes. Candidates share most of their blocks, hence the cache."""
    net = Builder(*in_shapes)
    if isinstance(what, Layer):
        nodes: tuple[Node, ...] = (Node("", what, net.inputs, in_shapes, what.out(*in_shapes)),)
        output, params, macs = 0, what.params(*in_shapes), what.macs(*in_shapes)
    else:
        inner = net.build(what.emit(net, *net.inputs))
        nodes, output, params, macs = inner.nodes, inner.output, inner.params, inner.macs
    out_shape = nodes[output].out_shape if output >= 0 else in_shapes[-1 - output]
    return Emission(key(what, in_shapes), in_shapes, nodes, output, out_shape, params, macs)


def key(what: Layer | Block, in_shapes: tuple[Shape, ...]) -> str:
    """The call and the shapes: "MBConv(channels=40, kernel=5, expand=6) @ 24x56x56".

    Fields at their default are left out, so that a field added later renames no row of a latency table. A plug-in's own
    block carries its module's name, "nb201.Reduction(...)", so that two plug-ins' blocks never share a row.
    """
    kind = type(what)
    module = kind.__module__.rpartition(".")[2].lstrip("_")
    home = "" if kind.__module__.startswith("nasctl.networks.") else f"{module}."
    given = ((field, getattr(what, field.name)) for field in fields(what))  # type: ignore[arg-type]  # a dataclass
    call = f"{home}{kind.__name__}({', '.join(f'{f.name}={_spelled(v)}' for f, v in given if v != f.default)})"
    return f"{call} @ {', '.join('x'.join(map(str, shape)) for shape in in_shapes)}"


def _spelled(value: object) -> str:
    """3.0 as 3: equal blocks have one key."""
    return f"{value:g}" if isinstance(value, float) else repr(value)

"""Slots: the places of a supernet's weights, and the slots that the parameters of a network are slices of."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Literal, NamedTuple

from torch import nn

from nasctl.networks.graph import Emission, Network
from nasctl.networks.layers import WeightedSum
from nasctl.networks.node import Layer, Shape, attribute_name
from nasctl.supernets.channel_sources import Sources, channels, span_sources
from nasctl.supernets.skeleton import CONVOLUTIONS, NORMS, template

Share = Literal["entangled", "blocks"]

RECURRENT = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")  # beginnings of names of parameters with gates

# Classes of modules that join the weights of several gates along the first axis, their number, and their names.
GATES = (
    ((nn.LSTM, nn.LSTMCell), 4, RECURRENT),
    ((nn.GRU, nn.GRUCell), 3, RECURRENT),
    ((nn.MultiheadAttention,), 3, ("in_proj_weight", "in_proj_bias")),
)

GATE = "gate "  # beginning of the names of the sources of gates


class SlotAxis(NamedTuple):
    """One axis of a parameter: numbers of consecutive sources, and whether a smaller parameter takes the centre."""

    sources: Sources
    centred: bool = False

    @property
    def size(self) -> int:
        """The length of the axis."""
        return sum([width for _, width in self.sources])


class Use(NamedTuple):
    """A parameter of a network's module, as a slice of a slot."""

    parameter: str  # its name in the module: "stage1_0_expand_conv.weight"
    slot: str
    axes: tuple[SlotAxis, ...]
    role: str  # "weight" or "bias" of convolutions and linear layers, "norm" or "other"


def uses(network: Network, share: Share) -> tuple[Use, ...]:
    """Return the parameters of a network with their slots.

    A slot is named after the layer and the parameter, the class of the module, and the kind of its grouping, so layers
    that cannot share weights never do. With "blocks" the name also has the outermost block, without its input shapes:
    `MB3_K3` and `MB6_K5` at one place then have weights of their own. With "entangled" the smaller one is a slice.

    Where a network sums several choices of a gene, each has the slots that it has in the network of that choice alone:
    "edge01.nor_conv_1x1", a term of a weighted sum, has the slots of "edge01".

    Args:
        network: The network.
        share: What candidates share.
    """
    sources: dict[int, Sources] = {-1 - k: (("", channels(one)),) for k, one in enumerate(network.input_shapes)}
    found: list[tuple[Use, ...]] = []
    places = _places_of_terms(network)
    for span in network.spans:
        inputs = tuple([sources[one] for one in span.inputs])
        place = places.get(span.name, span.name)
        _, sources[span.start + span.emission.output] = span_sources(place, span.emission, inputs)
        found.append(_span_uses(span.name, place, span.emission, inputs, share))
    return _with_shared(network, found) if network.shared else sum(found, ())


def _places_of_terms(network: Network) -> dict[str, str]:
    """Return the names of the terms of weighted sums, with the names that they have in networks of single choices."""
    ends = {span.start + span.emission.output: span.name for span in network.spans}
    found = {}
    for span in network.spans:
        first = span.emission.nodes[0].layer if len(span.emission.nodes) == 1 else None
        for source, term in zip(span.inputs, first.terms if isinstance(first, WeightedSum) else (), strict=False):
            name = ends.get(source, "")
            if term.name and name.endswith((f".{term.name}", f"_{term.name}")):
                found[name] = name[: -len(term.name) - 1]
    return found


def _with_shared(network: Network, found: list[tuple[Use, ...]]) -> tuple[Use, ...]:
    """Return the parameters of a network whose layers share tensors; each is set once, by the layer that has it."""
    kept: list[Use] = []
    for place, given in network.shared:
        if given.module_of:
            found[place] = ()
        else:
            prefix = attribute_name(network.spans[place].name)
            other = {f"{prefix}.{one.own}" for one in given.tensors}
            found[place] = tuple(use for use in found[place] if use.parameter not in other)
    for some in found:
        kept += some
    return tuple(kept)


@lru_cache(maxsize=1 << 15)
def _span_uses(name: str, place: str, emission: Emission, inputs: tuple[Sources, ...], share: Share) -> tuple[Use, ...]:
    """Return the parameters of a block with a name, whose slots have the name of its place; see `uses`."""
    found: list[Use] = []
    read, _ = span_sources(place, emission, inputs)
    block = [emission.key.partition(" @ ")[0]] if share == "blocks" else []
    for node, sources in zip(emission.nodes, read, strict=True):
        layer = f"{name}.{node.name}".rstrip(".")
        for own, shape, kind, role, gates in _parameters(node.layer, node.in_shapes):
            slot = "|".join([f"{place}.{node.name}".rstrip(".") + f".{own}", *block, kind])
            axes = _axes(node.layer, own, shape, kind, sources, gates)
            found.append(Use(f"{attribute_name(layer)}.{own}", slot, axes, role))
    return tuple(found)


@lru_cache(maxsize=1 << 15)
def _parameters(layer: Layer, in_shapes: tuple[Shape, ...]) -> tuple[tuple[str, Shape, str, str, int], ...]:
    """Return name, shape, kind of module, role and number of gates of each trainable parameter of a layer."""
    return tuple(described(template(layer, in_shapes)))


def described(part: nn.Module) -> Iterator[tuple[str, Shape, str, str, int]]:
    """Yield name, shape, kind of module, role and number of gates of each trainable parameter of a module."""
    for path, owner in part.named_modules():
        kind, norm = module_kind(owner), isinstance(owner, NORMS)
        product = isinstance(owner, (*CONVOLUTIONS, nn.Linear))
        for name, parameter in owner.named_parameters(recurse=False):
            if parameter.requires_grad:
                role = "norm" if norm else name if product and name in ("weight", "bias") else "other"
                yield f"{path}.{name}".lstrip("."), tuple(parameter.shape), kind, role, _gates(owner, name)


def _gates(owner: nn.Module, name: str) -> int:
    """Return the number of equal parts of a parameter's first axis, such as the weights of the gates of an LSTM."""
    for kinds, number, names in GATES:
        if isinstance(owner, kinds) and name.startswith(names):
            return number
    return 1


def module_kind(part: nn.Module) -> str:
    """Return the class of a module and what its weights depend on besides their sizes: groups, and square patches."""
    name = type(part).__name__
    if not isinstance(part, CONVOLUTIONS):
        return name
    if part.groups == part.in_channels > 1:
        name += "/depthwise"
    elif part.groups > 1:
        name += f"/groups{part.groups}"
    if part.kernel_size == part.stride and max(part.kernel_size) > 1:
        name += f"/patch{part.kernel_size[0]}"  # squares of two sizes are two ways to cut an image
    return name


def _axes(layer: Layer, name: str, shape: Shape, kind: str, sources: Sources, gates: int) -> tuple[SlotAxis, ...]:
    """Return the axes of a parameter."""
    axes = [SlotAxis((("", size),)) for size in shape]
    kernel = range(2, len(shape)) if kind.startswith("Conv") else ()
    for axis in (*layer.centred_axes(name), *kernel):
        axes[axis] = axes[axis]._replace(centred=True)
    place = _input_axis(name, shape, kind)
    if place is not None and sum(width for _, width in sources) == shape[place]:
        axes[place] = SlotAxis(sources)
    if gates > 1:  # the first numbers of a narrow network would be those of other gates in a wide one
        axes[0] = SlotAxis(tuple((f"{GATE}{k}", shape[0] // gates) for k in range(gates)))
    return tuple(axes)


def _input_axis(name: str, shape: Shape, kind: str) -> int | None:
    """Return the axis of a parameter that runs over the channels of the layer's input; None if none does."""
    if "/depthwise" in kind or (kind in ("BatchNorm2d", "LayerNorm") and len(shape) == 1):
        return 0
    return 1 if name == "weight" and kind in ("Linear", "Conv1d", "Conv2d", "Conv3d") else None


__all__ = ["GATE", "Share", "SlotAxis", "Use", "described", "module_kind", "uses"]

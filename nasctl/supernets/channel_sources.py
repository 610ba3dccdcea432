"""The layers that the channels of each value of a network come from, which decide where concatenated weights are."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from math import prod

from nasctl.networks.graph import Emission
from nasctl.networks.layer_kinds import OWN_LAYERS
from nasctl.networks.layers import Concat, Conv
from nasctl.networks.node import Node, Shape
from nasctl.networks.token_mixing import ConcatFeatures

Sources = tuple[tuple[str, int], ...]  # (layer or block, channels) of consecutive channels

KEEPING = ("norm", "rectifier", "activation", "softmax")  # kinds of layers that change no channel's place


@lru_cache(maxsize=1 << 14)
def span_sources(name: str, emission: Emission, inputs: tuple[Sources, ...]) -> tuple[tuple[Sources, ...], Sources]:
    """Return the sources of the channels that each layer of a block reads, and of those that the block puts out.

    A layer that mixes channels is the source of all its channels, under the name of its block. A layer that treats each
    channel alone, such as a norm or a depthwise convolution, hands on the sources of its first input. A concatenation
    joins the sources of its inputs; layers of its own block have their own names there.

    Args:
        name: Name of the block.
        emission: The block.
        inputs: Sources of each input of the block.

    Returns:
        The sources of the first input of each layer, and those of the output.
    """
    found: dict[int, Sources] = {-1 - k: sources for k, sources in enumerate(inputs)}
    for place, node in enumerate(emission.nodes):
        found[place] = _output_sources(name, node, emission, found)
    read = tuple(found[node.inputs[0]] if node.inputs else () for node in emission.nodes)
    return read, found[emission.output]


def channels(shape: Shape) -> int:
    """Return the number of channels of a value: the first of (C, H, W), the last of (T, D) and (D,)."""
    return shape[0] if len(shape) == 3 else shape[-1] if shape else 1


def _output_sources(name: str, node: Node, emission: Emission, found: dict[int, Sources]) -> Sources:
    """Return the sources of the channels of a layer's output."""
    width = channels(node.out_shape)
    if isinstance(node.layer, Concat | ConcatFeatures):
        return _joined(name, node, emission, found)
    first = found[node.inputs[0]] if node.inputs else ()
    if len(first) > 1:
        before = node.in_shapes[0]
        if width == channels(before) and _keeps_channels(node):
            return first
        if len(node.out_shape) == 1 and prod(before) == width:  # flattened: each channel is a run of numbers
            return tuple((source, count * (width // channels(before))) for source, count in first)
    return ((name, width),)


def _joined(name: str, node: Node, emission: Emission, found: dict[int, Sources]) -> Sources:
    """Return the sources of a concatenation, with names that differ."""
    parts: list[tuple[str, int]] = []
    for source in node.inputs:
        inner = len(found[source]) == 1 and source >= 0
        parts += [(f"{name}.{emission.nodes[source].name}", found[source][0][1])] if inner else found[source]
    seen: Counter[str] = Counter()
    named = []
    for one, width in parts:
        seen[one] += 1
        named.append((one if seen[one] == 1 else f"{one}'{seen[one]}", width))
    return tuple(named)


def _keeps_channels(node: Node) -> bool:
    """Return whether a layer treats each channel alone."""
    if isinstance(node.layer, Conv):
        return node.layer.groups == node.layer.channels == node.in_shapes[0][0]
    kind = OWN_LAYERS.get(type(node.layer))
    return kind in KEEPING or (kind is None and not node.layer.params(*node.in_shapes))


__all__ = ["Sources", "channels", "span_sources"]

"""Layers with one channel in place of their own number, for metrics of thin copies. The module needs no torch."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

from nasctl.networks.layer_kinds import OWN_LAYERS, layer_kind
from nasctl.networks.layers import ChannelShuffle, Conv
from nasctl.networks.node import Layer, Node

# Constructor arguments of torch's layers that count channels or groups of channels.
CHANNEL_ARGUMENTS = frozenset(
    {"in_channels", "out_channels", "groups", "num_features", "num_channels", "num_groups", "num_parameters"}
)


def with_one_channel(node: Node) -> Layer:
    """Return a layer of feature maps with one channel: convolutions, norms and shuffles become those of one channel.

    Raises:
        ValueError: The layer has parameters whose shapes depend on channels in a way that is not known.
    """
    if isinstance(node.layer, Conv):
        return replace(node.layer, channels=1, groups=1)
    if isinstance(node.layer, ChannelShuffle):
        return replace(node.layer, groups=1)
    layer: Any = node.layer
    names = {field.name for field in fields(layer)} if is_dataclass(layer) else set()
    free = node.layer.params(*node.in_shapes) == 0 or type(layer) in OWN_LAYERS
    if {"kind", "options"} <= names:  # a traced layer of torch.nn
        kind, given = layer_kind(node), {name for name, _ in layer.options}
        if free or kind == "rectifier" or (kind in ("convolution", "norm") and given & CHANNEL_ARGUMENTS):
            options = tuple((name, 1 if name in CHANNEL_ARGUMENTS else value) for name, value in layer.options)
            thin: Layer = replace(layer, options=options)
            return thin
    elif free:
        return node.layer
    raise ValueError(f"it needs a copy with one channel, and the layer {node.name} has a fixed number")

"""Layers with fewer channels: their form as data, and which of their weights they keep."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from nasctl.networks.layer_kinds import is_batch_norm
from nasctl.networks.layers import BatchNorm, Conv, Linear
from nasctl.networks.node import Layer, Node
from nasctl.networks.sequences import PatchEmbedding
from nasctl.networks.torch_layers import Leaf

LEAVES = ("nn.Conv2d", "nn.Linear", "nn.BatchNorm1d", "nn.BatchNorm2d")  # of layers of torch.nn


def can_narrow(node: Node) -> bool:
    """Return whether a layer with weights has a form with fewer channels: no other groups than one for each channel."""
    layer = node.layer
    if is_batch_norm(node):
        vector = len(node.in_shapes[0]) in (1, 3)
        return vector and (isinstance(layer, BatchNorm) or (isinstance(layer, Leaf) and layer.kind in LEAVES))
    if isinstance(layer, Linear) or (isinstance(layer, Leaf) and layer.kind == "nn.Linear"):
        return len(node.in_shapes[0]) < 3  # it mixes the last numbers, which are no channels of a map
    if isinstance(layer, Conv | PatchEmbedding) or (isinstance(layer, Leaf) and layer.kind in LEAVES):
        groups, outputs = node.layer.module(*node.in_shapes).options.get("groups", 1), node.out_shape[0]
        return groups == 1 or groups == outputs == node.in_shapes[0][0]
    return False


def narrowed(node: Node, inputs: int, outputs: int) -> Layer:
    """Return a layer with other numbers of channels.

    Args:
        node: The layer, which can be narrowed.
        inputs: Channels of the input; of a linear layer, numbers.
        outputs: Channels of the output, which of depthwise convolutions and norms are those of the input.
    """
    layer = node.layer
    if isinstance(layer, BatchNorm):
        return layer
    if isinstance(layer, Linear):
        return replace(layer, units=outputs)
    if isinstance(layer, PatchEmbedding):
        return replace(layer, width=outputs)
    grouped = node.layer.module(*node.in_shapes).options.get("groups", 1) != 1
    if isinstance(layer, Conv):
        return replace(layer, channels=outputs, groups=outputs if grouped else 1)
    assert isinstance(layer, Leaf)
    sizes = {"in_channels": inputs, "in_features": inputs, "out_channels": outputs, "out_features": outputs}
    sizes |= {"num_features": outputs} | ({"groups": outputs} if grouped else {})
    return replace(layer, options=tuple((key, sizes.get(key, value)) for key, value in layer.options))


def narrowed_state(part: nn.Module, inputs: Tensor, outputs: Tensor) -> dict[str, Tensor]:
    """Return the weights that a layer with fewer channels keeps, by their names in its module.

    Args:
        part: The module of the layer with all channels.
        inputs: Places of the channels of the input that are kept, ascending, int64.
        outputs: Places of those of the output.
    """
    found = {}
    for name, value in part.state_dict().items():
        if not value.ndim:  # a count of batches
            found[name] = value
            continue
        kept = value.detach().index_select(0, outputs)
        mixes = name == "weight" and value.ndim > 1 and getattr(part, "groups", 1) == 1
        found[name] = kept.index_select(1, inputs) if mixes else kept
    return {name: value.contiguous() for name, value in found.items()}


__all__ = ["can_narrow", "narrowed", "narrowed_state"]

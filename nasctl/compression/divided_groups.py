"""Channels of a network that can only be divided together, because layers add, scale or filter them one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nasctl.errors import NasctlError
from nasctl.networks.graph import Network
from nasctl.networks.layers import (
    Add,
    AvgPool,
    BatchNorm,
    Conv,
    Flatten,
    GlobalAvgPool,
    HSigmoid,
    HSwish,
    Linear,
    MaxPool,
    Multiply,
    ReLU,
    ReLU6,
    Shift,
    Sigmoid,
    Swish,
)
from nasctl.networks.node import Node, attribute_name
from nasctl.networks.sequences import GELU, Tanh

# Layers that compute each channel from the same channel of their inputs.
CHANNELWISE = (
    Add,
    AvgPool,
    BatchNorm,
    GELU,
    GlobalAvgPool,
    HSigmoid,
    HSwish,
    MaxPool,
    Multiply,
    ReLU,
    ReLU6,
    Shift,
    Sigmoid,
    Swish,
    Tanh,
)


@dataclass(frozen=True)
class DividedGroup:
    """Channels that are divided alike in several layers.

    Attributes:
        name: Name of the first layer that computes them.
        width: Number of channels.
        producers: Positions of the convolutions and linear layers that compute them.
        norms: Positions of the batch norms that scale them.
    """

    name: str
    width: int
    producers: tuple[int, ...]
    norms: tuple[int, ...]


class DividedGroups:
    """The groups of the channels of a network.

    Args:
        network: The network, which ends in a linear layer.

    Attributes:
        groups: The groups, in the order of their first layers.
        of: The group of the output of each layer by position; None for channels that cannot be divided: those of the
            input, and the classes.

    Raises:
        NasctlError: A layer does not allow to divide channels.
    """

    def __init__(self, network: Network) -> None:
        self._nodes, self._output = network.nodes, network.output
        self._above = dict[int, int]()  # parents of a forest with a tree for each group
        last = self._nodes[network.output] if network.output >= 0 else None
        if last is None or not isinstance(last.layer, Linear) or len(last.in_shapes[0]) != 1:
            raise _refused("its last layer is no linear layer of single features")
        for k, node in enumerate(self._nodes):
            self._add(k, node)
        trees: dict[int, list[int]] = {}
        for k in range(-1, len(self._nodes)):
            if k != self._output:
                trees.setdefault(self._root(k), []).append(k)
        self.groups, self.of = list[DividedGroup](), dict[int, int | None]({-1: None, self._output: None})
        for members in trees.values():
            producers = tuple(k for k in members if k >= 0 and self.mixes(k))
            divided = -1 not in members and producers
            self.of |= dict.fromkeys(members, len(self.groups) if divided else None)
            if divided:
                node = self._nodes[producers[0]]
                norms = tuple(k for k in members if isinstance(self._nodes[k].layer, BatchNorm))
                self.groups.append(DividedGroup(node.name, node.out_shape[0], producers, norms))

    def mixes(self, k: int) -> bool:
        """Return whether a layer computes each of its channels from all channels of its input."""
        layer = self._nodes[k].layer
        return isinstance(layer, Linear) or (isinstance(layer, Conv) and layer.groups == 1)

    def order(self, group: DividedGroup, state: Mapping[str, Tensor]) -> Tensor:
        """Return the channels of a group, the most important first, (width,) int64.

        Channels are ordered by the sum of the gains of their norms, or without norms by the sum of the magnitudes of
        the weights that compute them.

        Args:
            group: The group.
            state: The state of the network's module.
        """
        gains = [state.get(f"{attribute_name(self._nodes[k].name)}.weight") for k in group.norms]
        found = [one.abs().double() for one in gains if one is not None]
        if not found:
            weights = [state[f"{attribute_name(self._nodes[k].name)}.weight"] for k in group.producers]
            found = [one.abs().double().flatten(1).sum(1) for one in weights]
        return torch.stack(found).sum(0).argsort(descending=True, stable=True)

    def _add(self, k: int, node: Node) -> None:
        """Note what a layer couples."""
        if node.module_of or node.shared or node.layer.rows is not None:
            raise _refused(f"several places run the layer {node.name!r} or share its weights")
        self._above[k] = k
        if k == self._output or self.mixes(k):
            if len(node.in_shapes[0]) == 2:
                raise _refused(f"{node.name!r} reads a sequence")
            return
        depthwise = isinstance(node.layer, Conv) and node.layer.groups == node.in_shapes[0][0] == node.layer.channels
        flat = isinstance(node.layer, Flatten) and node.in_shapes[0][1:] == (1, 1)
        widths = {shape[0] for shape in (*node.in_shapes, node.out_shape)}
        if not (depthwise or flat or type(node.layer) in CHANNELWISE) or len(widths) > 1:
            raise _refused(f"it has no rule for the layer {node.name!r}, {node.layer}")
        for source in node.inputs:
            self._above.setdefault(source, source)
            self._above[self._root(k)] = self._root(source)

    def _root(self, k: int) -> int:
        while (above := self._above.get(k, k)) != k:
            k = above
        return k


def divided(group: DividedGroup, shares: Sequence[float]) -> tuple[int, ...]:
    """Return the number of channels of a group up to each stage, (stages,), the last of which has all.

    Args:
        group: The group. If it has too few channels for all stages, all are in the first one.
        shares: Share of the channels up to each stage but the last, ascending.
    """
    found = (*(max(1, round(share * group.width)) for share in shares), group.width)
    return found if len(set(found)) == len(found) else (group.width,) * len(found)


def _refused(reason: str) -> NasctlError:
    return NasctlError(f"Cannot divide the channels of this network: {reason}. Use kind=depth.")


__all__ = ["DividedGroup", "DividedGroups", "divided"]

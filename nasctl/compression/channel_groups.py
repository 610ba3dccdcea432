"""Groups of channels of a network that can be removed together, such as those that a residual sum adds.

Each value of a network has a label for each of its channels. A convolution or linear layer gives its outputs new
labels. A layer that treats channels alone hands labels on, a sum makes the labels of its inputs equal, and any other
layer fixes those of its inputs, so that these channels stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import prod
from typing import Literal, NamedTuple

import numpy as np
import torch

from nasctl.compression.narrow_layers import can_narrow
from nasctl.compression.recalibrated_variants import single_layers
from nasctl.networks.executable import construct
from nasctl.networks.graph import Network
from nasctl.networks.layer_kinds import is_batch_norm
from nasctl.networks.layers import Concat
from nasctl.networks.node import Layer, Node, Shape

ChannelRole = Literal["mixes", "scales", "keeps", "flattens", "joins", "fixes"]


class ChannelGroup(NamedTuple):
    """Channels that can be removed.

    Attributes:
        name: Name of the first layer that puts channels of the group out.
        producers: Positions of the convolutions and linear layers that put them out, in order.
        labels: Labels of the channels, (C,) int64.
    """

    name: str
    producers: tuple[int, ...]
    labels: np.ndarray


class ChannelMap(NamedTuple):
    """The channels of all values of a network.

    Attributes:
        labels: Label of each channel of each value, (C,) int64, by position; -1 is the network's input.
        roles: How each layer treats channels, by position.
        groups: The groups of channels that can be removed.
    """

    labels: Mapping[int, np.ndarray]
    roles: Sequence[ChannelRole]
    groups: Sequence[ChannelGroup]


def channel_map(network: Network) -> ChannelMap:
    """Return the channels of all values of a network with one input, and their groups."""
    found, single = _Labels(), single_layers(network.nodes)
    labels: dict[int, np.ndarray] = {-1: found.new(_channels(network.input_shapes[0]), fixed=True)}
    roles: list[ChannelRole] = []
    for k, node in enumerate(network.nodes):
        roles.append(_role(node, k in single))
        given = [labels[source] for source in node.inputs]
        labels[k] = _output_labels(node, roles[-1], given, found)
    found.fix(labels[network.output])
    roots = {k: found.roots(one) for k, one in labels.items()}
    producers = [k for k, role in enumerate(roles) if role == "mixes"]
    return ChannelMap(roots, roles, _groups(network, producers, roots, found.fixed))


def _output_labels(node: Node, role: ChannelRole, given: Sequence[np.ndarray], found: _Labels) -> np.ndarray:
    """Return the labels of the output of a layer, and note what the layer demands of those of its inputs."""
    width = _channels(node.out_shape)
    if role == "joins":
        return np.concatenate(given)
    if role in ("scales", "keeps", "flattens"):
        for other in given[1:]:
            found.unite(given[0], other)
        return np.repeat(given[0], width // len(given[0]))
    if role == "fixes":
        for one in given:
            found.fix(one)
    return found.new(width, fixed=role == "fixes")


def _role(node: Node, single: bool) -> ChannelRole:
    """Return how a layer treats channels.

    "mixes" puts out channels of its own, each of all channels of its input. "scales" has weights for each channel, as a
    norm or a depthwise convolution. "keeps" and "flattens" have no weights.

    Args:
        node: The layer.
        single: Whether its module and its tensors are those of no other layer.
    """
    if not node.inputs or node.layer.rows is not None:
        return "fixes"
    if node.layer.params(*node.in_shapes):
        if not single or not can_narrow(node):
            return "fixes"
        if is_batch_norm(node):
            return "scales"
        return "mixes" if node.layer.module(*node.in_shapes).options.get("groups", 1) == 1 else "scales"
    if is_batch_norm(node):  # without gains; its statistics are those of channels
        return "scales" if single and can_narrow(node) else "fixes"
    if isinstance(node.layer, Concat):
        return "joins" if len(node.out_shape) != 2 else "fixes"  # sequences are joined along tokens
    return _tried_role(node.layer, node.in_shapes, node.out_shape)


@lru_cache(maxsize=1 << 12)
@torch.no_grad()
def _tried_role(layer: Layer, shapes: tuple[Shape, ...], out: Shape) -> ChannelRole:
    """Return how a layer without weights treats channels, by running it on all channels and on some of these."""
    channels = _channels(shapes[0])
    if any(_channels(shape) != channels for shape in shapes) or channels < 2 or _channels(out) % channels:
        return "fixes"
    draw = torch.Generator().manual_seed(0)
    some = torch.arange(0, channels, 2)
    try:
        part = construct(layer.module(*shapes)).eval().double()
        inputs = [torch.randn(2, *shape, generator=draw, dtype=torch.double) for shape in shapes]
        every = part(*inputs)
        fewer = part(*[one.index_select(_axis(one.ndim - 1), some) for one in inputs])
    except (RuntimeError, TypeError, ValueError, IndexError):  # a layer for these shapes alone, or for integers
        return "fixes"
    times = _channels(out) // channels
    if times > 1 and not (len(out) == 1 and prod(shapes[0]) == out[0]):
        return "fixes"
    wanted = (some[:, None] * times + torch.arange(times)).flatten()
    expected = every.index_select(_axis(every.ndim - 1), wanted)
    if fewer.shape != expected.shape or not torch.allclose(fewer, expected, rtol=1e-9, atol=1e-12, equal_nan=True):
        return "fixes"
    return "flattens" if times > 1 else "keeps"


def _axis(dimensions: int) -> int:
    """Return the axis of channels of a batch of values of some dimensions: the first of a map, or the last."""
    return 1 if dimensions == 3 else dimensions


def _channels(shape: Shape) -> int:
    """Return the number of channels of a value: the first of (C, H, W), the last of all others."""
    return shape[0] if len(shape) == 3 else shape[-1] if shape else 1


def _groups(
    network: Network, producers: Sequence[int], roots: Mapping[int, np.ndarray], fixed: Sequence[bool]
) -> tuple[ChannelGroup, ...]:
    """Return the groups of channels; producers that share a channel are in one group, and fixed groups are left out."""
    sets: list[tuple[list[int], set[int]]] = []
    for k in producers:
        own = set(roots[k].tolist())
        touching = [one for one in sets if one[1] & own]
        sets = [one for one in sets if not one[1] & own]
        members = sorted(sum((one[0] for one in touching), [k]))
        sets.append((members, own.union(*(one[1] for one in touching))))
    found = []
    for members, labels in sorted(sets):
        if len(labels) > 1 and not any(fixed[label] for label in labels):
            found.append(ChannelGroup(network.nodes[members[0]].name, tuple(members), np.array(sorted(labels))))
    return tuple(found)


class _Labels:
    """Labels of channels that can be made equal: a union-find structure."""

    def __init__(self) -> None:
        self._above: list[int] = []
        self.fixed: list[bool] = []  # by label; of the root of each set it says whether the set is fixed

    def new(self, number: int, fixed: bool) -> np.ndarray:
        """Return new labels, (number,) int64."""
        first = len(self._above)
        self._above += range(first, first + number)
        self.fixed += [fixed] * number
        return np.arange(first, first + number)

    def fix(self, labels: np.ndarray) -> None:
        """Note that channels must stay."""
        for label in labels.tolist():
            self.fixed[self._root(label)] = True

    def unite(self, first: np.ndarray, second: np.ndarray) -> None:
        """Make labels equal, one by one."""
        for one, other in zip(first.tolist(), second.tolist(), strict=True):
            low, high = sorted((self._root(one), self._root(other)))
            self._above[high] = low
            self.fixed[low] = self.fixed[low] or self.fixed[high]

    def roots(self, labels: np.ndarray) -> np.ndarray:
        """Return the least of the labels that are equal to each label."""
        return np.array([self._root(label) for label in labels.tolist()], np.int64)

    def _root(self, label: int) -> int:
        while self._above[label] != label:
            self._above[label] = label = self._above[self._above[label]]
        return label


__all__ = ["ChannelGroup", "ChannelMap", "ChannelRole", "channel_map"]

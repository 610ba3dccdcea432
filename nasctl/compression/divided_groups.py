"""Channels of a network that can only be divided together, because layers add, scale or filter them one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nasctl.compression.channel_groups import ChannelRole, channel_map
from nasctl.errors import NasctlError
from nasctl.networks.graph import Network
from nasctl.networks.layers import BatchNorm, Conv, Linear
from nasctl.networks.node import Node, attribute_name


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
        self._nodes = network.nodes
        last = self._nodes[network.output] if network.output >= 0 else None
        if last is None or not isinstance(last.layer, Linear) or len(last.in_shapes[0]) != 1:
            raise _refused("its last layer is no linear layer of single features")
        found = channel_map(network)
        for k, (node, role) in enumerate(zip(self._nodes, found.roles, strict=True)):
            if k != network.output:
                _check(node, role)
        self.groups, self.of = list[DividedGroup](), dict[int, int | None]({-1: None, network.output: None})
        owners: dict[int, int] = {}
        for number, group in enumerate(found.groups):
            owners |= dict.fromkeys(group.labels.tolist(), number)
        for k in range(len(self._nodes)):
            self.of.setdefault(k, owners.get(int(found.labels[k][0])))
        for number, group in enumerate(found.groups):
            members = [k for k, one in self.of.items() if one == number]
            norms = tuple(k for k in members if isinstance(self._nodes[k].layer, BatchNorm))
            self.groups.append(DividedGroup(group.name, len(group.labels), group.producers, norms))

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


def _check(node: Node, role: ChannelRole) -> None:
    """Raise an error if the channels of a layer cannot be divided."""
    known = {"mixes": (Conv, Linear), "scales": (Conv, BatchNorm)}
    on_maps = len(node.in_shapes[0]) != 2 if node.in_shapes else False
    flat = role != "flattens" or node.in_shapes[0][1:] == (1, 1)
    if role in ("fixes", "joins") or not (on_maps and flat and isinstance(node.layer, known.get(role, object))):
        raise _refused(f"it has no rule for the layer {node.name!r}, {node.layer}")


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

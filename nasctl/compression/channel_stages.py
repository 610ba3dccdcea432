"""A network whose channels are divided over stages: later stages read the channels of earlier ones, never the reverse.

The weights of each layer are block-triangular. The network has a layer for each block row, so that no zero is computed
or stored.

References:
    Yuan et al., "S2DNAS: transforming static CNN model for dynamic inference via neural architecture search", ECCV
    2020, arXiv:1911.07033.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from nasctl.compression.divided_groups import DividedGroups
from nasctl.networks.early_exit import EarlyExit
from nasctl.networks.graph import Builder, Network
from nasctl.networks.layers import Concat, Conv, Linear
from nasctl.networks.node import Layer, Node, attribute_name


class WeightSlice(NamedTuple):
    """A layer of the divided network, and the part of a layer's weights that it has."""

    layer: str  # attribute of the divided network's module
    source: str  # attribute of the given network's module, or of a classifier of an exit
    rows: Tensor | None  # channels of the output; None for all
    columns: Tensor | None  # channels of the input of a layer that mixes them; None for all


class DividedNetwork:
    """A network with divided channels, an exit behind some stages, and the origin of its weights.

    Args:
        base: The given network.
        groups: Its groups of channels.
        orders: Channels of each group, those of the first stage first.
        counts: Number of channels of each group up to each stage, (groups, stages).
        thresholds: Threshold of the exit of each stage but the last; 0 for no exit there.

    Attributes:
        network: The divided network.
        slices: The origin of the weights of its layers.
    """

    def __init__(
        self,
        base: Network,
        groups: DividedGroups,
        orders: Sequence[Tensor],
        counts: Sequence[Sequence[int]],
        thresholds: Sequence[float],
    ) -> None:
        self._base, self._groups, self._orders, self._counts = base, groups, orders, counts
        self._stages = len(thresholds) + 1
        self._net = Builder(*base.input_shapes)
        # Values of each stage by the position of the layer in the given network; None where a stage has no channel.
        self._pieces: dict[int, list[int | None]] = {-1: [-1, *[None] * (self._stages - 1)]}
        self._joined: dict[tuple[int, int], int] = {}
        self.slices: list[WeightSlice] = []
        for k, node in enumerate(base.nodes):
            if k != base.output:
                self._pieces[k] = [self._piece(k, node, stage) for stage in range(self._stages)]
        node = base.nodes[base.output]
        logits = [self._classifier(node, stage, f"exit{stage + 1}") for stage, one in enumerate(thresholds) if one]
        last = self._classifier(node, self._stages - 1, node.name)
        if logits:
            last = self._net.add(EarlyExit(tuple(filter(None, thresholds))), *logits, last, name="early_exit")
        self.network = self._net.build(last)

    def state(self, weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the state of the divided network's module.

        Args:
            weights: The state of the given network's module, and of the classifiers of exits.
            wanted: A state of the divided network's module, whose keys are used.
        """
        found = {}
        by_layer = {one.layer: one for one in self.slices}
        for key in wanted:
            layer, _, name = key.partition(".")
            one = by_layer[layer]
            value = weights[f"{one.source}.{name}"]
            if value.ndim and one.rows is not None:
                value = value[one.rows]
            if name == "weight" and one.columns is not None:
                value = value[:, one.columns]
            found[key] = value
        return found

    def channels(self, k: int, first: int, last: int) -> Tensor:
        """Return the channels of a layer's output in the stages from `first` to `last`.

        Args:
            k: Position of the layer in the given network; -1 for the input, whose channels are all in stage 0.
            first: The first stage.
            last: The last stage.
        """
        group = self._groups.of[k]
        if group is None:
            shape = self._base.input_shapes[0] if k < 0 else self._base.nodes[k].out_shape
            return torch.arange(shape[0] if first == 0 else 0)
        start = self._counts[group][first - 1] if first else 0
        return self._orders[group][start : self._counts[group][last]]

    def _piece(self, k: int, node: Node, stage: int) -> int | None:
        """Add the part of a layer that computes its channels of a stage, and return the position of its output."""
        rows = self.channels(k, stage, stage)
        if not len(rows):
            return None
        name = f"{node.name}.part{stage + 1}"
        layer, columns = node.layer, None
        if self._groups.mixes(k):
            (source,) = node.inputs
            inputs = [self._join(source, stage)]
            columns = self.channels(source, 0, stage)
            layer = _narrowed(layer, len(rows))
        else:
            found = [self._pieces[source][stage] for source in node.inputs]
            inputs = [one for one in found if one is not None]
            if isinstance(layer, Conv):  # depthwise
                layer = replace(layer, channels=len(rows), groups=len(rows))
        self.slices.append(WeightSlice(attribute_name(name), attribute_name(node.name), rows, columns))
        return self._net.add(layer, *inputs, name=name)

    def _classifier(self, node: Node, stage: int, name: str) -> int:
        """Add the classifier of a stage, which reads the features of all stages up to it."""
        (source,) = node.inputs
        columns = self.channels(source, 0, stage)
        self.slices.append(WeightSlice(attribute_name(name), attribute_name(name), None, columns))
        return self._net.add(node.layer, self._join(source, stage), name=name)

    def _join(self, source: int, stage: int) -> int:
        """Return the position of the channels of a value in all stages up to one."""
        pieces = [one for one in self._pieces[source][: stage + 1] if one is not None]
        if len(pieces) == 1:
            return pieces[0]
        if (source, stage) not in self._joined:
            name = f"{self._base.nodes[source].name}.upto{stage + 1}"
            self._joined[source, stage] = self._net.add(Concat(), *pieces, name=name)
        return self._joined[source, stage]


def _narrowed(layer: Layer, channels: int) -> Layer:
    """Return a layer that mixes channels with fewer outputs."""
    if isinstance(layer, Linear):
        return replace(layer, units=channels)
    assert isinstance(layer, Conv)
    return replace(layer, channels=channels)


__all__ = ["DividedNetwork", "WeightSlice"]

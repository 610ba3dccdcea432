"""Batch norms folded into the layers before them, as runtimes run them: a network without these norms, and its weights.

References:
    Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only inference", CVPR
    2018, arXiv:1712.05877, section 3.2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from nasctl.compression.trained_base import TrainedBase
from nasctl.networks.graph import Builder, Network, SharedLayer
from nasctl.networks.layer_kinds import is_batch_norm
from nasctl.networks.node import Layer, Node, attribute_name
from nasctl.networks.quantized_layer import quantizable


class FoldedLayer(NamedTuple):
    """A layer that can be quantised, with the norm behind it folded into its weights and bias."""

    weight: Tensor  # (outputs, ...) float32
    bias: Tensor  # (outputs,) float32


class FoldedNetwork:
    """A trained network whose batch norms are folded into the convolutions and linear layers before them.

    A norm stays if another layer reads its input too, or if the layer before it cannot be quantised.

    Args:
        base: The trained network.

    Attributes:
        nodes: The layers without the folded norms; inputs are positions among these layers.
        output: Position of the output.
        folded: Weights and biases of the layers that can be quantised, by position.
    """

    def __init__(self, base: TrainedBase) -> None:
        self._base = base
        module, nodes = base.module(), base.network.nodes
        read = Counter(source for node in nodes for source in node.inputs) + Counter([base.network.output])
        # The layers that several places run, or whose tensors other layers have, stay as they are.
        reused = {node.module_of for node in nodes} | {one.layer for node in nodes for one in node.shared}
        single = {k for k, node in enumerate(nodes) if node.inputs and node.name not in reused}
        norm_of = {
            node.inputs[0]: k
            for k, node in enumerate(nodes)
            if {k, *node.inputs[:1]} <= single
            and read[node.inputs[0]] == 1
            and _foldable(node, nodes[node.inputs[0]], module)
        }
        places: dict[int, int] = {-1: -1}
        self.nodes, self.folded = list[Node](), dict[int, FoldedLayer]()
        for k, node in enumerate(nodes):
            if node.inputs and norm_of.get(node.inputs[0]) == k:
                places[k] = places[node.inputs[0]]
                continue
            places[k] = len(self.nodes)
            if k in single and quantizable(node):
                norm = nodes[norm_of[k]] if k in norm_of else None
                self.folded[places[k]] = _folded(module, node, norm)
            self.nodes.append(replace(node, inputs=tuple(places[source] for source in node.inputs)))
        self.output = places[base.network.output]

    def network(self, layers: Mapping[int, Layer]) -> Network:
        """Return the network with other layers at some positions, each of them a span.

        Args:
            layers: The other layers by position.
        """
        net = Builder(*self._base.network.input_shapes)
        for k, node in enumerate(self.nodes):
            shared = SharedLayer(node.module_of, node.shared) if node.module_of or node.shared else None
            net.add(layers.get(k, node.layer), *node.inputs, name=node.name, shared=shared)
        return net.build(self.output)


def _foldable(norm: Node, before: Node, module: nn.Module) -> bool:
    """Return whether a layer is a batch norm with statistics of its own that can be folded into the layer before it."""
    if not is_batch_norm(norm) or norm.module_of or norm.shared or not quantizable(before):
        return False
    # The channels of the norm are the outputs of the layer, except behind a linear layer on a sequence.
    linear = before.layer.module(*before.in_shapes).factory == "nn.Linear"
    part = module.get_submodule(attribute_name(norm.name))
    return part.running_mean is not None and not (linear and len(before.out_shape) > 1)


@torch.no_grad()
def _folded(module: nn.Module, node: Node, norm: Node | None) -> FoldedLayer:
    """Return weight and bias of a layer with the norm behind it, if there is one."""
    part = module.get_submodule(attribute_name(node.name))
    weight, bias = part.get_parameter("weight").double(), part._parameters.get("bias")
    shift = torch.zeros(len(weight), dtype=torch.float64) if bias is None else bias.double()
    if norm is not None:
        behind = module.get_submodule(attribute_name(norm.name))
        gain = (behind.get_buffer("running_var").double() + float(behind.eps)).rsqrt()  # type: ignore[arg-type]
        if behind._parameters.get("weight") is not None:
            gain = gain * behind.get_parameter("weight").double()
        shift = (shift - behind.get_buffer("running_mean").double()) * gain
        if behind._parameters.get("bias") is not None:
            shift = shift + behind.get_parameter("bias").double()
        weight = weight * gain.view(-1, *[1] * (weight.ndim - 1))
    return FoldedLayer(weight.float(), shift.float())


__all__ = ["FoldedLayer", "FoldedNetwork"]

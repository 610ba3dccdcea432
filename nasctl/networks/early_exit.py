"""Early exits as data: the classifiers of a network with several exits, and the stages that run up to each of them.

An image leaves at the first exit whose largest probability exceeds the threshold of the exit. This module does not
import torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from nasctl.networks.blocks import ConvNormAct
from nasctl.networks.graph import Builder, Network, Span
from nasctl.networks.layers import Flatten, GlobalAvgPool, Linear, ReLU
from nasctl.networks.node import Call, Layer, Shape
from nasctl.networks.sequences import MeanToken


@dataclass(frozen=True, slots=True)
class EarlyExit(Layer):
    """The logits of the first exit whose largest probability exceeds its threshold: (K,), (K,), ... -> (K,).

    The last input has no threshold: images that leave at no other exit have its logits.

    Args:
        thresholds: Threshold of each input but the last.
    """

    thresholds: tuple[float, ...]

    def module(self, *inputs: Shape) -> Call:
        return Call("EarlyExit", *self.thresholds)


@dataclass(frozen=True, slots=True)
class ExitHead:
    """The classifier of an exit: (C, H, W) or (T, D) -> (classes,).

    Features are averaged over all positions, and a linear layer follows. With hidden units, a 3x3 convolution with
    stride 2, batch norm and ReLU come first, or on a sequence a linear layer and ReLU.

    Args:
        classes: Number of classes.
        hidden: Hidden units: channels of the convolution; 0 for none.
    """

    classes: int
    hidden: int = 0

    def emit(self, net: Builder, *inputs: int) -> int:
        (x,) = inputs
        if len(net.shape(x)) == 2:
            x = net.add(MeanToken(), x, name="mean")
            if self.hidden:
                x = net.add(ReLU(), net.add(Linear(self.hidden), x, name="hidden"), name="act")
            return net.add(Linear(self.classes), x, name="linear")
        if self.hidden:
            stride = 2 if min(net.shape(x)[1:]) > 1 else 1
            x = net.add(ConvNormAct(self.hidden, 3, stride), x, name="hidden")
        x = net.add(Flatten(), net.add(GlobalAvgPool(), x, name="pool"), name="flatten")
        return net.add(Linear(self.classes), x, name="linear")


class ExitStage(NamedTuple):
    """The layers that run between two exits; positions are those of nodes of the network, and -1 is its input."""

    nodes: tuple[int, ...]  # in an order in which they can run
    inputs: tuple[int, ...]  # values of earlier stages that the stage reads
    logits: int  # the value that decides whether an image leaves
    outputs: tuple[int, ...]  # values that later stages read


def thresholds_of(network: Network) -> tuple[float, ...]:
    """Return the thresholds of all exits but the last; () for a network with one exit."""
    layer = network.nodes[network.output].layer if network.output >= 0 else None
    return layer.thresholds if isinstance(layer, EarlyExit) else ()


def exit_stages(network: Network) -> tuple[ExitStage, ...]:
    """Return the stages of a network, one for each exit; () for a network that ends in no `EarlyExit`.

    A stage has the layers that its exit needs and that no earlier stage has. Layers that no exit needs are in the last
    stage.
    """
    if not thresholds_of(network):
        return ()
    nodes, exits = network.nodes, network.nodes[network.output].inputs
    stage_of = node_stages(network)
    found = []
    for stage, logits in enumerate(exits):
        own = tuple(k for k in range(len(nodes)) if stage_of.get(k) == stage)
        read = {source for k in own for source in nodes[k].inputs}
        later = {source for k, other in stage_of.items() if other > stage for source in nodes[k].inputs}
        inputs = tuple(sorted(read - set(own)))
        found.append(ExitStage(own, inputs, logits, tuple(k for k in own if k in later)))
    return tuple(found)


def node_stages(network: Network) -> dict[int, int]:
    """Return the stage of each layer of a network with early exits, by its position, without the last layer."""
    nodes, found = network.nodes, dict[int, int]()
    exits = nodes[network.output].inputs
    for stage, logits in enumerate(exits):
        waiting = [logits]
        while waiting:
            k = waiting.pop()
            if k >= 0 and k not in found:
                found[k] = stage
                waiting += nodes[k].inputs
    return {k: found.get(k, len(exits) - 1) for k in range(len(nodes)) if k != network.output}


def running_costs(network: Network, cost: Callable[[Span], float]) -> list[float]:
    """Return the cost of an image that leaves at each exit, (exits,): the sum over all blocks that have run by then.

    Args:
        network: The network; without early exits, it has one exit.
        cost: Returns the cost of a block.
    """
    if not thresholds_of(network):
        return [sum(map(cost, network.spans))]
    stage_of = node_stages(network)
    sums = [0.0] * len(network.nodes[network.output].inputs)
    for span in network.spans:
        places = range(span.start, span.start + len(span.emission.nodes))
        if network.output not in places:  # the choice of an exit is part of the program that runs the stages
            sums[min(stage_of[k] for k in places)] += cost(span)
    return [sum(sums[: k + 1]) for k in range(len(sums))]


__all__ = ["EarlyExit", "ExitHead", "ExitStage", "exit_stages", "node_stages", "running_costs", "thresholds_of"]

"""A network with other layers at some positions, and all shapes that follow."""

from __future__ import annotations

from collections.abc import Mapping

from nasctl.networks.graph import Network, SharedLayer, Span, emission_of
from nasctl.networks.node import Layer, Shape


def with_layers(network: Network, layers: Mapping[int, Layer]) -> Network:
    """Return a network with other layers at some positions. Positions and names of layers stay.

    A block without another layer or another input shape stays a span, so that a latency table prices it as before. The
    layers of all other blocks are spans of their own.

    Args:
        network: The network.
        layers: The other layers by position.
    """
    shapes: dict[int, Shape] = {-1 - k: shape for k, shape in enumerate(network.input_shapes)}
    given, spans, shared = dict(network.shared), list[Span](), list[tuple[int, SharedLayer]]()
    for at, span in enumerate(network.spans):
        nodes = network.nodes_of(span)
        emissions = []
        for place, node in enumerate(nodes, span.start):
            emissions.append(emission_of(layers.get(place, node.layer), tuple(shapes[k] for k in node.inputs)))
            shapes[place] = emissions[-1].out_shape
        same = all(
            span.start + k not in layers and emission.in_shapes == node.in_shapes
            for k, (node, emission) in enumerate(zip(nodes, emissions, strict=True))
        )
        if at in given:
            shared.append((len(spans), given[at]))
        if same:
            spans.append(span)
        else:
            spans += [
                Span(node.name, node.inputs, span.start + k, emission)
                for k, (node, emission) in enumerate(zip(nodes, emissions, strict=True))
            ]
    return Network(network.input_shapes, tuple(spans), network.output, network.block_ends, tuple(shared))


__all__ = ["with_layers"]

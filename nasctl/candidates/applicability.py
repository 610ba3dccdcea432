"""Checks that a metric applies to the networks of a space. Each returns the reason why not, or ""."""

from __future__ import annotations

from nasctl.candidates.transformer_layers import MIXING, roles
from nasctl.networks.custom_calls import calls_functions
from nasctl.networks.graph import Network
from nasctl.networks.layer_kinds import layer_kind
from nasctl.problem.space import Input


def only_maps(given: Input, example: Network) -> str:
    """Return why a metric of convolutions' feature maps does not apply to networks like the example; "" if it does."""
    if given.kind != "images":
        return "it is about images, and these networks take tokens"
    for node in example.nodes:
        kind = layer_kind(node)
        attends = isinstance(node.layer, MIXING) or kind == "attention" or calls_functions(node, "attention")
        # A linear layer on (T, D) works on each place of a sequence; on a map, (C, L), it would mix the places.
        if attends or (kind == "linear" and len(node.in_shapes[0]) == 2):
            return "it is about convolutions, and these networks attend to sequences"
        if kind == "recurrent" or getattr(node.layer, "recurrent", False):
            return f"it is about convolutions, and the layer {node.name} of these networks is recurrent"
    return ""


def only_rectified(given: Input, example: Network) -> str:
    """Return why a metric of rectifiers does not apply to networks like the example; "" if it does."""
    found = any(layer_kind(node) == "rectifier" or calls_functions(node, "rectifier") for node in example.nodes)
    return "" if found else "these networks have no rectifiers"


def only_classes(given: Input, example: Network) -> str:
    """Return why a metric of one row of logits does not apply to networks like the example; "" if it does."""
    return "" if len(example.out_shape) == 1 else "these networks put out logits at every place of an example"


def only_attention(given: Input, example: Network) -> str:
    """Return why a metric of attention does not apply to networks like the example; "" if it does."""
    if any(isinstance(node.layer, MIXING) for node in example.nodes):
        return ""
    for node in example.nodes:
        if layer_kind(node) == "attention" or calls_functions(node, "attention"):
            return f"it is about the layers of attention, and {node.name} computes its attention inside one layer"
    return "it is about attention, and these networks have none"


def only_forward(given: Input, example: Network) -> str:
    """Return why a metric of feed-forward layers does not apply to networks like the example; "" if it does."""
    none = "" if roles(example).forward else "it is about feed-forward layers, and these networks have none"
    return only_attention(given, example) or none

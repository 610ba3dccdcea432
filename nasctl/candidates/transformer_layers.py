"""The roles of a transformer's layers, found from the layers around them. The module needs no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nasctl.networks.blocks import ACTIVATIONS
from nasctl.networks.graph import Network
from nasctl.networks.layer_kinds import layer_kind
from nasctl.networks.layers import Linear
from nasctl.networks.node import Node
from nasctl.networks.sequences import AttentionScores, Softmax, WeightedValues
from nasctl.networks.token_mixing import Cosine, DynamicConv, Fourier, HeadLinear, RelativeScores

TRANSFORMS = (Fourier, Cosine)

ATTENDING = (AttentionScores, RelativeScores, WeightedValues, *TRANSFORMS)

MIXING = (*ATTENDING, DynamicConv)  # the layers that mix places of a sequence

ACTIVATION_LAYERS = tuple({type(layer) for layer in ACTIVATIONS.values()})


@dataclass(frozen=True, slots=True)
class Roles:
    """The names of layers by their role. A linear layer here works on each place of a sequence, (T, D) -> (T, D').

    The block of a layer is its name without the last part: "layer0.mix" of "layer0.mix.query".
    """

    projections: tuple[str, ...]  # linear layers before attention (queries, keys, values) or before a transform
    heads: tuple[str, ...]  # the projections, and the linear layers before the input of dynamic convolutions
    mixing: tuple[str, ...]  # all linear layers, but those of `forward`, of blocks with a layer of MIXING
    forward: tuple[str, ...]  # feed-forward: the linear layers before and after an activation
    activations: tuple[str, ...]  # the activations after a linear layer
    weights: tuple[str, ...]  # the softmaxes of attention, (heads, T, S)
    transforms: Mapping[str, int]  # the number of heads of each transform


def roles(network: Network) -> Roles:
    """Return the roles of a network's layers. All are empty if the network has no layer of MIXING."""
    nodes = network.nodes
    mixers = [k for k, node in enumerate(nodes) if isinstance(node.layer, MIXING)]
    blocks = {_block(nodes[k]) for k in mixers}
    linear = {k for k, node in enumerate(nodes) if isinstance(node.layer, Linear) and len(node.out_shape) == 2}
    active = {k for k, node in enumerate(nodes) if node.inputs[0] in linear and _is_activation(node)}
    forward = {k for k in linear if nodes[k].inputs[0] in active} | {nodes[k].inputs[0] for k in active}
    mixing = {k for k in linear - forward if _block(nodes[k]) in blocks}
    attending = [k for k in mixers if isinstance(nodes[k].layer, ATTENDING)]
    softmaxes = (k for k, node in enumerate(nodes) if isinstance(node.layer, Softmax) and len(node.out_shape) == 3)

    def names(places: Iterable[int]) -> tuple[str, ...]:
        return tuple(nodes[k].name for k in sorted(places)) if mixers else ()

    return Roles(
        names(_feeding(nodes, attending, mixing)),
        names(_feeding(nodes, mixers, mixing)),
        names(mixing),
        names(forward),
        names(active),
        names(softmaxes),
        {node.name: node.layer.heads for node in nodes if isinstance(node.layer, TRANSFORMS)},
    )


def _is_activation(node: Node) -> bool:
    """Return whether a layer is an activation of feed-forward layers: a rectifier, or a sigmoid of ACTIVATIONS."""
    return isinstance(node.layer, ACTIVATION_LAYERS) or layer_kind(node) == "rectifier"


def _feeding(nodes: tuple[Node, ...], mixers: Iterable[int], among: set[int]) -> set[int]:
    """Return the linear layers that feed layers of MIXING, directly or through linear layers alone.

    Args:
        nodes: The nodes of the network.
        mixers: The positions of the layers of MIXING.
        among: The positions of the linear layers to choose from.
    """
    # The second input of a dynamic convolution holds its kernels.
    inputs = (nodes[k].inputs[:1] if isinstance(nodes[k].layer, DynamicConv) else nodes[k].inputs for k in mixers)
    found, left = set[int](), [k for some in inputs for k in some]
    while left:
        k = left.pop()
        if k in among or (k >= 0 and isinstance(nodes[k].layer, HeadLinear)):
            found |= {k} & among
            left += nodes[k].inputs
    return found


def _block(node: Node) -> str:
    """Return the name of a node's block."""
    return node.name.rpartition(".")[0]

"""What each linear layer of a transformer is for, found from the layers around it. No torch here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nasctl.networks.blocks import ACTIVATIONS
from nasctl.networks.graph import Network
from nasctl.networks.layers import Linear
from nasctl.networks.node import Node
from nasctl.networks.sequences import AttentionScores, Softmax, WeightedValues
from nasctl.networks.token_mixing import Cosine, DynamicConv, Fourier, HeadLinear, RelativeScores

TRANSFORMS = (Fourier, Cosine)

ATTENDING = (AttentionScores, RelativeScores, WeightedValues, *TRANSFORMS)

MIXING = (*ATTENDING, DynamicConv)  # the layers that carry something from one place to another

ACTIVE = tuple({type(layer) for layer in ACTIVATIONS.values()})


@dataclass(frozen=True, slots=True)
class Roles:
    """Names of nodes; linear layers are those that work on each place of a sequence, (T, D) -> (T, D').

    A block is what has one name but for its last part, such as "layer0.mix" of "layer0.mix.query".
    """

    projections: tuple[str, ...]  # linear, of what attention compares and gathers and of what a transform takes
    heads: tuple[str, ...]  # those, and what dynamic convolutions convolve
    mixing: tuple[str, ...]  # all linear layers of blocks with a layer of MIXING: those, kernels and outputs
    forward: tuple[str, ...]  # linear layers before and after an activation
    activations: tuple[str, ...]  # after a linear layer
    weights: tuple[str, ...]  # softmaxes of attention, (heads, T, S)
    transforms: Mapping[str, int]  # heads, by name


def roles(network: Network) -> Roles:
    """The roles of a network's layers; all empty where it has no layer of MIXING."""
    nodes = network.nodes
    mixers = [k for k, node in enumerate(nodes) if isinstance(node.layer, MIXING)]
    blocks = {_block(nodes[k]) for k in mixers}
    linear = {k for k, node in enumerate(nodes) if isinstance(node.layer, Linear) and len(node.out_shape) == 2}
    active = {k for k, node in enumerate(nodes) if isinstance(node.layer, ACTIVE) and node.inputs[0] in linear}
    forward = {k for k in linear if nodes[k].inputs[0] in active} | {nodes[k].inputs[0] for k in active}
    mixing = {k for k in linear - forward if _block(nodes[k]) in blocks}
    attending = [k for k in mixers if isinstance(nodes[k].layer, ATTENDING)]
    softmaxes = (k for k, node in enumerate(nodes) if isinstance(node.layer, Softmax) and len(node.out_shape) == 3)

    def names(places: Iterable[int]) -> tuple[str, ...]:
        return tuple(nodes[k].name for k in sorted(places)) if mixers else ()

    return Roles(
        names(_behind(nodes, attending, mixing)),
        names(_behind(nodes, mixers, mixing)),
        names(mixing),
        names(forward),
        names(active),
        names(softmaxes),
        {node.name: node.layer.heads for node in nodes if isinstance(node.layer, TRANSFORMS)},
    )


def _behind(nodes: tuple[Node, ...], mixers: Iterable[int], among: set[int]) -> set[int]:
    """The linear layers whose output a layer of MIXING takes, and those that lead into them with nothing between."""
    # The second input of a dynamic convolution is its kernels.
    inputs = (nodes[k].inputs[:1] if isinstance(nodes[k].layer, DynamicConv) else nodes[k].inputs for k in mixers)
    found, left = set[int](), [k for some in inputs for k in some]
    while left:
        k = left.pop()
        if k in among or (k >= 0 and isinstance(nodes[k].layer, HeadLinear)):
            found |= {k} & among
            left += nodes[k].inputs
    return found


def _block(node: Node) -> str:
    return node.name.rpartition(".")[0]

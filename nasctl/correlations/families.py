"""Families of search spaces and tasks, by which measured correlations are grouped.

A family is a group of spaces on which metrics were seen to order networks alike. A space may name its family (see
`HasFamily`); the layers of one of its networks tell the others apart.
"""

from __future__ import annotations

from nasctl.candidates.transformer_layers import MIXING
from nasctl.networks.graph import Network
from nasctl.networks.layers import Conv
from nasctl.networks.node import Layer
from nasctl.problem.space import HasFamily, Input, SearchSpace

CELL = "cell"  # a small graph of operations, repeated to a network
SKELETON = "skeleton"  # a chain of convolution blocks whose kinds, widths or strides are chosen
MOBILE = "mobile"  # inverted residuals on images of ImageNet's size
VISION_TRANSFORMER = "vision transformer"  # attention on images, also after convolutions
TEXT_ENCODER = "text encoder"  # attention or other mixing of tokens
RECURRENT = "recurrent"  # cells that read tokens one after another

FAMILIES = {
    CELL: "cells",
    SKELETON: "skeletons",
    MOBILE: "mobile networks",
    VISION_TRANSFORMER: "vision transformers",
    TEXT_ENCODER: "text encoders",
    RECURRENT: "recurrent cells",
}

CLASSIFICATION, LANGUAGE = "classification", "language"  # tasks, of those in `nasctl.problem.defaults.TASKS`

MOBILE_SIDE = 128  # pixels; depthwise convolutions on smaller images belong to no mobile network


def family_of(space: SearchSpace, example: Network) -> str:
    """Return the family of a space.

    Args:
        space: The space.
        example: One of its networks, from whose layers the family follows if the space does not name it.
    """
    return space.family if isinstance(space, HasFamily) else layers_family(space.input, example)


def layers_family(given: Input, example: Network) -> str:
    """Return the family that the layers of a network belong to; never "cell", which no layer shows.

    Args:
        given: Input of the networks.
        example: One of the networks.
    """
    mixing = any(_mixes(node.layer) for node in example.nodes)
    if given.kind == "tokens":
        return TEXT_ENCODER if mixing else RECURRENT
    if mixing:
        return VISION_TRANSFORMER
    depthwise = any(isinstance(node.layer, Conv) and node.layer.groups > 1 for node in example.nodes)
    return MOBILE if depthwise and given.shape[-1] >= MOBILE_SIDE else SKELETON


def default_task(family: str) -> str:
    """Return the task of networks of a family if a user names none."""
    return LANGUAGE if family == RECURRENT else CLASSIFICATION


def _mixes(layer: Layer) -> bool:
    """Return whether a layer mixes the places of a sequence; layers of traced modules have attention in their text."""
    return isinstance(layer, MIXING) or "attention" in repr(layer).lower()

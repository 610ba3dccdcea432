"""Operator model: features of the operators of a block, and a latency that is linear in them.

Coefficients are non-negative, so that a block with larger features is never faster.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import lru_cache
from math import prod

from nasctl.api import Conv, Emission, Flatten, Layer, Linear, Node

VERSION = 1  # of the features; raised whenever a feature changes, because coefficients hold for one version
MAX_IMAGE_CHANNELS = 4  # channels up to which a dense convolution counts as one over an image; it has its own kind


@lru_cache(maxsize=1 << 16)
def features(emission: Emission) -> Mapping[str, float]:
    """Return quantities that latency grows with, summed over the operators of a block, for one example.

    The feature "count" is the number of operators. All others are named "KIND.QUANTITY":

    - Convolutions and matrix products have the elements `read` and `written`, `weights` and `macs`.
    - Depthwise convolutions have, in place of `macs`, the output elements of kernels of 5 and more (`k5`), of 7 and
      more (`k7`), and so on. A larger kernel can thus cost more per output element, but never less.
    - All other operators have the elements `moved`: those read plus those written.

    The kind of an operator depends on its channels and never on the image size, so that no feature of a network falls
    when its image, a kernel or an expansion ratio grows.

    References:
        Cai et al., "ProxylessNAS", ICLR 2019, arXiv:1812.00332, section 3.3: latency as a sum over operators.
        Williams et al., "Roofline: an insightful visual performance model for multicore architectures", CACM 52(4),
        2009: work and traffic determine the time. The model takes their sum, not their maximum, to stay linear.
    """
    amounts: defaultdict[str, float] = defaultdict(float)
    for node in emission.nodes:
        for name, amount in node_features(node):
            amounts[name] += amount
    return dict(amounts)


def node_features(node: Node) -> list[tuple[str, int]]:
    """Return the features of one operator, by name; `features` sums them over a block."""
    if isinstance(node.layer, Flatten):  # Flattening is a view of the same memory and costs nothing.
        return []
    return [("count", 1), *_amounts(node)]


def predict_latency(coefficients: Mapping[str, float], amounts: Mapping[str, float]) -> float | None:
    """Return the latency of a block in ms, or None if it has a feature without a coefficient.

    Args:
        coefficients: ms per unit of each feature.
        amounts: Features of the block.
    """
    if not amounts.keys() <= coefficients.keys():
        return None
    # Rows of a table are rounded to as many digits, so that a block has one latency whichever of the two prices it.
    return round(sum(coefficients[name] * amount for name, amount in amounts.items()), 6)


def _amounts(node: Node) -> list[tuple[str, int]]:
    """Return the features of one operator, other than "count"."""
    kind = _kind(node.layer, node.in_shapes[0][0])
    read, written = sum(map(prod, node.in_shapes)), prod(node.out_shape)
    macs = node.layer.macs(*node.in_shapes)
    if not macs:
        return [(f"{kind}.moved", read + written)]
    amounts = [(f"{kind}.read", read), (f"{kind}.written", written)]
    amounts.append((f"{kind}.weights", node.layer.params(*node.in_shapes)))
    if isinstance(node.layer, Conv) and kind.endswith("depthwise"):
        return amounts + [(f"{kind}.k{least}", written) for least in range(5, node.layer.kernel + 1, 2)]
    return [*amounts, (f"{kind}.macs", macs)]


def _kind(layer: Layer, channels: int) -> str:
    """Return the kind of an operator that reads so many channels.

    An operator without measurements has a kind of its own, so that it is never priced as another kind.
    """
    if isinstance(layer, Linear) or not isinstance(layer, Conv):
        return type(layer).__name__.lower()
    if layer.groups > 1:
        kind = "depthwise" if layer.groups == channels == layer.channels else "grouped"
    elif layer.kernel == 1:
        kind = "pointwise"
    else:
        kind = "image" if channels <= MAX_IMAGE_CHANNELS else "dense"
    return kind if layer.dilation == 1 else f"dilated-{kind}"

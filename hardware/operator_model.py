"""What the operators of a block amount to, and a latency that is linear in that with no negative coefficient."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import lru_cache
from math import prod

from nasctl.api import Conv, Emission, Flatten, Layer, Linear, Node

VERSION = 1  # changes whenever a feature does: coefficients belong to one version
IMAGE = 4  # channels of an image at most; the convolution over them runs unlike all others


@lru_cache(maxsize=1 << 16)
def features(emission: Emission) -> Mapping[str, float]:
    """Amounts that latency grows with, summed over the operators of a block, for one example.

    "count" is the number of operators. Convolutions and matrix products of a kind have elements `read` and `written`,
    `weights` and `macs`; depthwise ones have, in place of `macs`, the outputs of kernels of 5 and more (`k5`), of 7 and
    more (`k7`), and so on, which lets a larger kernel cost more for an output, never less. All other operators have the
    elements `moved`: read and written together. What an operator counts as depends on its channels, never on the size
    of the image, so that no feature of a network falls when its image, a kernel or an expansion grows.

    References:
        Latency as a sum over operators: Cai et al., "ProxylessNAS", ICLR 2019, arXiv:1812.00332, section 3.3.
        Work and traffic as what it depends on: Williams et al., "Roofline: an insightful visual performance model for
        multicore architectures", CACM 52(4), 2009; with their sum in place of the larger of the two, to be linear.
    """
    amounts: defaultdict[str, float] = defaultdict(float)
    for node in emission.nodes:
        if isinstance(node.layer, Flatten):  # a view of the same memory
            continue
        amounts["count"] += 1
        for name, amount in _amounts(node):
            amounts[name] += amount
    return dict(amounts)


def predicted(coefficients: Mapping[str, float], amounts: Mapping[str, float]) -> float | None:
    """Milliseconds; None if the block has an operator that the coefficients say nothing about."""
    if not amounts.keys() <= coefficients.keys():
        return None
    # Rounded as the rows of a table are: in either form a block has the same figure, and the order is kept.
    return round(sum(coefficients[name] * amount for name, amount in amounts.items()), 6)


def _amounts(node: Node) -> list[tuple[str, int]]:
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
    """What an operator is timed as; one that no data has is a kind of its own and so is never taken for another."""
    if isinstance(layer, Linear) or not isinstance(layer, Conv):
        return type(layer).__name__.lower()
    if layer.groups > 1:
        kind = "depthwise" if layer.groups == channels == layer.channels else "grouped"
    elif layer.kernel == 1:
        kind = "pointwise"
    else:
        kind = "image" if channels <= IMAGE else "dense"
    return kind if layer.dilation == 1 else f"dilated-{kind}"

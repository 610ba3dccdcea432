"""MobileNetV2 in plain PyTorch for small images, as wide as a latency allows; perf/trained_front.py compares with it.

Reference:
    Sandler et al., "MobileNetV2: Inverted residuals and linear bottlenecks", CVPR 2018, arXiv:1801.04381, table 2.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from nasctl.api import MissingBlock
from nasctl.hardware.table import LatencyTable
from nasctl.networks.graph import Network

# Expansion, channels, blocks, and stride of the first block. The published strides are (1, 2, 2, 2, 1, 2, 1) behind a
# stem of stride 2: 32 times in all, which would leave less than a pixel of an image of 16 x 16. As in nbmacro, the stem
# keeps the resolution and three blocks halve it. They are the last three of the five that do so in the paper.
STAGES = ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
STEM, LAST = 32, 1280  # channels of the first and of the last convolution; the last one never has fewer
WIDTHS = (0.05, 4.0)  # the range in which a width is searched
STEP = 0.004  # between widths that are told apart
DIVISOR = 8  # channels are multiples of it, as in the paper's code


class InvertedResidual(nn.Module):
    """An inverted residual with a linear bottleneck.

    Args:
        given: Input channels.
        channels: Output channels.
        stride: Stride of the depthwise convolution.
        expand: Expanded channels per input channel; with 1, there is no expanding convolution.
    """

    def __init__(self, given: int, channels: int, stride: int, expand: int) -> None:
        super().__init__()
        wide = given * expand
        layers = [] if expand == 1 else _convolution(given, wide, 1)
        layers += _convolution(wide, wide, 3, stride, groups=wide)
        layers += [nn.Conv2d(wide, channels, 1, bias=False), nn.BatchNorm2d(channels)]
        self.layers = nn.Sequential(*layers)
        self.residual = stride == 1 and given == channels

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return x + out if self.residual else out


class MobileNetV2(nn.Module):
    """MobileNetV2 with strides for images of 16 to 64 pixels. The paper's dropout is left out, as all spaces leave it.

    Args:
        width: Multiplier of all channels, but for the last convolution where it is below 1.
        classes: Outputs of the classifier.
    """

    def __init__(self, width: float = 1.0, classes: int = 10) -> None:
        super().__init__()
        stem, last = divisible(STEM * width), divisible(LAST * max(1.0, width))
        blocks = [
            (divisible(channels * width), stride if place == 0 else 1, expand)
            for expand, channels, depth, stride in STAGES
            for place in range(depth)
        ]
        widths = [stem, *(channels for channels, _, _ in blocks)]
        self.features = nn.Sequential(
            *_convolution(3, stem, 3),
            *(
                InvertedResidual(given, channels, stride, expand)
                for (given, channels), (_, stride, expand) in zip(pairwise(widths), blocks, strict=True)
            ),
            *_convolution(widths[-1], last, 1),
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(last, classes)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.classifier(self.pool(self.features(x)).flatten(1))
        return out


def divisible(channels: float) -> int:
    """Return the nearest multiple of `DIVISOR` that is at least it and not below 90% of the given number."""
    found = max(DIVISOR, int(channels + DIVISOR / 2) // DIVISOR * DIVISOR)
    return found + DIVISOR if found < 0.9 * channels else found


def as_slow_as(network: Network, table: LatencyTable) -> tuple[float, float | None]:
    """Return the width at which MobileNetV2 is as slow as a network, and its latency in ms there.

    Channels come in steps of `DIVISOR`, so it is the smallest width that is as slow or slower, which favours
    MobileNetV2. Where the table has no row for one of its layers, MACs count in place of latency, and the latency is
    None.
    """
    classes, (shape,) = network.out_shape[0], network.input_shapes

    def mobile(width: float) -> Network:
        return Network.from_module(MobileNetV2(width, classes), shape)

    def cost(one: Network) -> float:
        return float(table.latency(one) if priced else one.macs)

    priced = True
    try:
        table.latency(mobile(WIDTHS[0]))
    except MissingBlock as error:
        print(f"MACs in place of latency: {error}", flush=True)
        priced = False
    low, high = WIDTHS
    limit = cost(network)
    if cost(mobile(low)) > limit:
        print(f"MobileNetV2 is slower at every width; compared at {low}", flush=True)
        high = low
    while high - low > STEP:
        middle = (low + high) / 2
        low, high = (low, middle) if cost(mobile(middle)) >= limit else (middle, high)
    return high, cost(mobile(high)) if priced else None


def _convolution(given: int, channels: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """Return a convolution with batch norm and ReLU6."""
    convolution = nn.Conv2d(given, channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(channels), nn.ReLU6()]

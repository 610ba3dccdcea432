"""Blocks that many search spaces share. Each is frozen and hashable, so its emission is computed once per shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nasctl.networks.graph import Builder
from nasctl.networks.layers import (
    Add,
    BatchNorm,
    Concat,
    Conv,
    Flatten,
    GlobalAvgPool,
    HSigmoid,
    HSwish,
    Linear,
    Multiply,
    ReLU,
    ReLU6,
    Shift,
    Sigmoid,
    Swish,
)
from nasctl.networks.node import Layer
from nasctl.networks.sequences import GELU, AttentionScores, Softmax, Tanh, WeightedValues

ACTIVATIONS: Mapping[str, Layer] = {
    "relu": ReLU(),
    "relu6": ReLU6(),
    "hswish": HSwish(),
    "swish": Swish(),
    "sigmoid": Sigmoid(),
    "hsigmoid": HSigmoid(),
    "gelu": GELU(),
    "tanh": Tanh(),
}


def make_divisible(value: float, divisor: int = 8) -> int:
    """Round to the nearest multiple of `divisor`, and to the next larger one if rounding loses over a tenth of `value`.

    References:
        `_make_divisible` of github.com/tensorflow/models/blob/master/research/slim/nets/mobilenet/mobilenet.py.
    """
    nearest = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return nearest + divisor if nearest < 0.9 * value else nearest


@dataclass(frozen=True, slots=True)
class Identity:
    """The input unchanged; it has no layer and so no row in a latency table."""

    def emit(self, net: Builder, *inputs: int) -> int:
        (x,) = inputs
        return x


@dataclass(frozen=True, slots=True)
class ConvNormAct:
    """Convolution, batch norm if `norm`, activation of ACTIVATIONS if `act`: (C, H, W) -> (channels, H', W')."""

    channels: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    act: str | None = "relu"
    norm: bool = True

    def emit(self, net: Builder, *inputs: int) -> int:
        x = net.add(Conv(self.channels, self.kernel, self.stride, self.groups), *inputs, name="conv")
        x = net.add(BatchNorm(), x, name="norm") if self.norm else x
        return net.add(ACTIVATIONS[self.act], x, name="act") if self.act else x


@dataclass(frozen=True, slots=True)
class ActConvNorm:
    """ReLU, convolution, batch norm: the weighted operation of NAS-Bench-201. (C, H, W) -> (channels, H', W')."""

    channels: int
    kernel: int = 1
    stride: int = 1

    def emit(self, net: Builder, *inputs: int) -> int:
        x = net.add(ReLU(), *inputs, name="act")
        x = net.add(Conv(self.channels, self.kernel, self.stride), x, name="conv")
        return net.add(BatchNorm(), x, name="norm")


@dataclass(frozen=True, slots=True)
class FactorizedReduction:
    """A shortcut that halves height and width: (C, H, W) -> (channels, H / 2, W / 2).

    One half of the channels is a 1x1 convolution of the even rows and columns, the other half of the odd ones.

    References:
        Zoph et al., "Learning transferable architectures for scalable image recognition", CVPR 2018,
        arXiv:1707.07012; `FactorizedReduce` in `cnn/operations.py` of github.com/quark0/darts.
    """

    channels: int

    def emit(self, net: Builder, *inputs: int) -> int:
        half = Conv(self.channels // 2, stride=2)
        x = net.add(ReLU(), *inputs, name="act")
        even = net.add(half, x, name="even")
        odd = net.add(half, net.add(Shift(), x, name="shift"), name="odd")
        return net.add(BatchNorm(), net.add(Concat(), even, odd, name="concat"), name="norm")


@dataclass(frozen=True, slots=True)
class SqueezeExcite:
    """Channels scaled by gates that are computed from the means of all channels: (C, H, W) -> (C, H, W).

    References:
        Hu et al., "Squeeze-and-excitation networks", CVPR 2018, arXiv:1709.01507; with the hard sigmoid of Howard et
        al., "Searching for MobileNetV3", ICCV 2019, arXiv:1905.02244.
    """

    squeezed: int  # channels of the bottleneck
    gate: str = "hsigmoid"  # activation of the gates
    act: str = "relu"  # activation of the bottleneck

    def emit(self, net: Builder, *inputs: int) -> int:
        (x,) = inputs
        y = net.add(GlobalAvgPool(), x, name="pool")
        y = net.add(Conv(self.squeezed, bias=True), y, name="squeeze")
        y = net.add(ACTIVATIONS[self.act], y, name="act")
        y = net.add(Conv(net.shape(x)[0], bias=True), y, name="excite")
        y = net.add(ACTIVATIONS[self.gate], y, name="gate")
        return net.add(Multiply(), x, y, name="scale")


@dataclass(frozen=True, slots=True)
class MBConv:
    """An inverted residual: (C, H, W) -> (channels, H', W').

    The block is an expansion (none if `expand` is 1), a depthwise convolution, squeeze-and-excitation with a quarter of
    the channels if `se`, and a projection. The input is added to the output if the two have the same shape.

    References:
        Sandler et al., "MobileNetV2: Inverted residuals and linear bottlenecks", CVPR 2018, arXiv:1801.04381,
        figure 4d; squeeze-and-excitation after the depthwise activation as in Cai et al., "Once-for-All", ICLR 2020,
        arXiv:1908.09791 (`ofa/utils/layers.py` of github.com/mit-han-lab/once-for-all).
    """

    channels: int
    kernel: int
    expand: float
    stride: int = 1
    act: str = "relu"
    se: bool = False

    def emit(self, net: Builder, *inputs: int) -> int:
        (x,) = inputs
        channels = net.shape(x)[0]
        wide = channels if self.expand == 1 else make_divisible(round(channels * self.expand))
        y = net.add(ConvNormAct(wide, act=self.act), x, name="expand") if self.expand != 1 else x
        y = net.add(ConvNormAct(wide, self.kernel, self.stride, groups=wide, act=self.act), y, name="depthwise")
        y = net.add(SqueezeExcite(make_divisible(wide // 4)), y, name="se") if self.se else y
        y = net.add(ConvNormAct(self.channels, act=None), y, name="project")
        return net.add(Add(), x, y, name="add") if net.shape(x) == net.shape(y) else y


@dataclass(frozen=True, slots=True)
class BasicBlock:
    """A residual block of two 3x3 convolutions: (C, H, W) -> (channels, H', W').

    References:
        He et al., "Deep residual learning for image recognition", CVPR 2016, arXiv:1512.03385, figure 5 left; with the
        projection shortcut (option B) if the shape changes.
    """

    channels: int
    stride: int = 1

    def emit(self, net: Builder, *inputs: int) -> int:
        (x,) = inputs
        y = net.add(ConvNormAct(self.channels, 3, self.stride), x, name="a")
        y = net.add(ConvNormAct(self.channels, 3, act=None), y, name="b")
        if net.shape(x) != net.shape(y):
            x = net.add(ConvNormAct(self.channels, 1, self.stride, act=None), x, name="shortcut")
        return net.add(ReLU(), net.add(Add(), y, x, name="add"), name="act")


@dataclass(frozen=True, slots=True)
class Logits:
    """Flattening and a linear layer: (C, H, W) -> (classes,)."""

    classes: int

    def emit(self, net: Builder, *inputs: int) -> int:
        return net.add(Linear(self.classes), net.add(Flatten(), *inputs, name="flatten"), name="linear")


@dataclass(frozen=True, slots=True)
class Classifier:
    """Global average pooling and a linear layer: (C, H, W) -> (classes,)."""

    classes: int

    def emit(self, net: Builder, *inputs: int) -> int:
        return net.add(Logits(self.classes), net.add(GlobalAvgPool(), *inputs, name="pool"), name="logits")


@dataclass(frozen=True, slots=True)
class SelfAttention:
    """Multi-head self-attention: (T, D) -> (T, D).

    Queries, keys and values are linear in the input, (T, width). The output is linear in the weighted values.

    References:
        Vaswani et al., "Attention is all you need", NeurIPS 2017, arXiv:1706.03762, section 3.2.2.
    """

    heads: int
    width: int | None = None  # of all heads together; the width of the input if None
    bias: bool = True  # whether queries, keys and values have a bias; the output always has one

    def emit(self, net: Builder, *inputs: int) -> int:
        (x,) = inputs
        channels = net.shape(x)[1]
        project = Linear(self.width or channels, self.bias)
        queries, keys, values = (net.add(project, x, name=name) for name in ("query", "key", "value"))
        weights = net.add(AttentionScores(self.heads), queries, keys, name="scores")
        weights = net.add(Softmax(), weights, name="weights")
        return net.add(Linear(channels), net.add(WeightedValues(), weights, values, name="attend"), name="output")


@dataclass(frozen=True, slots=True)
class FeedForward:
    """Two linear layers with an activation of ACTIVATIONS between them, at each position: (T, D) -> (T, D)."""

    units: int  # between the two layers
    act: str = "gelu"

    def emit(self, net: Builder, *inputs: int) -> int:
        (x,) = inputs
        y = net.add(Linear(self.units), x, name="widen")
        y = net.add(ACTIVATIONS[self.act], y, name="act")
        return net.add(Linear(net.shape(x)[1]), y, name="narrow")

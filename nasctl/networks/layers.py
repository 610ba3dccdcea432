"""Primitive layers of convolutional networks; in shapes, H' and W' are H and W after the stride."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import NamedTuple

from nasctl.networks.node import Call, Layer, Shape


@dataclass(frozen=True, slots=True)
class Conv(Layer):
    """A convolution, padded so that stride 1 keeps an odd kernel's input size: (C, H, W) -> (channels, H', W')."""

    channels: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    dilation: int = 1
    bias: bool = False

    def out(self, *inputs: Shape) -> Shape:
        ((_, height, width),) = inputs
        return self.channels, self._output_size(height), self._output_size(width)

    def params(self, *inputs: Shape) -> int:
        ((channels, _, _),) = inputs
        return self.channels * (channels // self.groups * self.kernel**2 + self.bias)

    def macs(self, *inputs: Shape) -> int:
        ((channels, _, _),) = inputs
        _, height, width = self.out(*inputs)
        return self.channels * channels // self.groups * self.kernel**2 * height * width

    def module(self, *inputs: Shape) -> Call:
        ((channels, _, _),) = inputs
        # Options at PyTorch's defaults are left out of the call, so that exported source is short.
        options = {"stride": self.stride, "padding": self._padding, "dilation": self.dilation, "groups": self.groups}
        given = {name: value for name, value in options.items() if value != (name != "padding")}
        return Call("nn.Conv2d", channels, self.channels, self.kernel, **given, bias=self.bias)

    @property
    def _padding(self) -> int:
        return self.dilation * (self.kernel - 1) // 2

    def _output_size(self, size: int) -> int:
        return _output_size(size, self.dilation * (self.kernel - 1) + 1, self.stride, self._padding)


@dataclass(frozen=True, slots=True)
class BatchNorm(Layer):
    """Batch normalization, with a learned scale and shift per channel if `affine`: (C, H, W) -> (C, H, W)."""

    affine: bool = True

    def params(self, *inputs: Shape) -> int:
        return 2 * inputs[0][0] * self.affine

    def module(self, *inputs: Shape) -> Call:
        return Call("nn.BatchNorm2d", inputs[0][0], **({} if self.affine else {"affine": False}))


@dataclass(frozen=True, slots=True)
class ReLU(Layer):
    """max(x, 0)."""

    def module(self, *inputs: Shape) -> Call:
        return Call("nn.ReLU")


@dataclass(frozen=True, slots=True)
class ReLU6(Layer):
    """min(max(x, 0), 6)."""

    def module(self, *inputs: Shape) -> Call:
        return Call("nn.ReLU6")


@dataclass(frozen=True, slots=True)
class HSwish(Layer):
    """x times the hard sigmoid of x (Howard et al., "Searching for MobileNetV3", ICCV 2019, arXiv:1905.02244)."""

    def module(self, *inputs: Shape) -> Call:
        return Call("nn.Hardswish")


@dataclass(frozen=True, slots=True)
class Swish(Layer):
    """x times the sigmoid of x, also called SiLU (Ramachandran et al., arXiv:1710.05941)."""

    def module(self, *inputs: Shape) -> Call:
        return Call("nn.SiLU")


@dataclass(frozen=True, slots=True)
class Sigmoid(Layer):
    """1 / (1 + exp(-x))."""

    def module(self, *inputs: Shape) -> Call:
        return Call("nn.Sigmoid")


@dataclass(frozen=True, slots=True)
class HSigmoid(Layer):
    """min(max(x + 3, 0), 6) / 6."""

    def module(self, *inputs: Shape) -> Call:
        return Call("nn.Hardsigmoid")


@dataclass(frozen=True, slots=True)
class AvgPool(Layer):
    """Average pooling; padding does not count in the mean: (C, H, W) -> (C, H', W')."""

    kernel: int
    stride: int = 1

    def out(self, *inputs: Shape) -> Shape:
        return _pooled_shape(inputs[0], self.kernel, self.stride)

    def module(self, *inputs: Shape) -> Call:
        return Call("nn.AvgPool2d", self.kernel, self.stride, (self.kernel - 1) // 2, count_include_pad=False)


@dataclass(frozen=True, slots=True)
class MaxPool(Layer):
    """Maximum pooling: (C, H, W) -> (C, H', W')."""

    kernel: int
    stride: int = 1

    def out(self, *inputs: Shape) -> Shape:
        return _pooled_shape(inputs[0], self.kernel, self.stride)

    def module(self, *inputs: Shape) -> Call:
        return Call("nn.MaxPool2d", self.kernel, self.stride, (self.kernel - 1) // 2)


@dataclass(frozen=True, slots=True)
class GlobalAvgPool(Layer):
    """The mean of each channel: (C, H, W) -> (C, 1, 1)."""

    def out(self, *inputs: Shape) -> Shape:
        return inputs[0][0], 1, 1

    def module(self, *inputs: Shape) -> Call:
        return Call("nn.AdaptiveAvgPool2d", 1)


@dataclass(frozen=True, slots=True)
class Flatten(Layer):
    """All values as one vector: (C, H, W) -> (C * H * W,)."""

    def out(self, *inputs: Shape) -> Shape:
        return (prod(inputs[0]),)

    def module(self, *inputs: Shape) -> Call:
        return Call("nn.Flatten")


@dataclass(frozen=True, slots=True)
class Linear(Layer):
    """A matrix product over the last dimension: (..., D) -> (..., units)."""

    units: int
    bias: bool = True

    def out(self, *inputs: Shape) -> Shape:
        return (*inputs[0][:-1], self.units)

    def params(self, *inputs: Shape) -> int:
        return (inputs[0][-1] + self.bias) * self.units

    def macs(self, *inputs: Shape) -> int:
        return prod(inputs[0]) * self.units

    def module(self, *inputs: Shape) -> Call:
        return Call("nn.Linear", inputs[0][-1], self.units, bias=self.bias)


@dataclass(frozen=True, slots=True)
class Add(Layer):
    """The sum of two or more inputs of one shape."""

    def module(self, *inputs: Shape) -> Call:
        return Call("Add")


class SumTerm(NamedTuple):
    """An input of a `WeightedSum`, and the choices that its factor depends on."""

    name: str  # end of the name of the layer or block that computes it alone; "" if it is a value that others read too
    # The factor is the sum over products of factors of choices, each (place of the gene, choice); () is a product of 1.
    products: tuple[tuple[tuple[int, int], ...], ...] = ((),)

    @property
    def learned(self) -> bool:
        """True if the factor depends on choices."""
        return any(self.products)


@dataclass(frozen=True, slots=True)
class WeightedSum(Add):
    """The sum of one or more inputs of one shape, each times a factor.

    A mixture of several choices of a gene sums their outputs so. The factors are a buffer of ones, so that the layer
    costs and computes what `Add` does, until a search that learns choices gives others. They are no parameters.
    """

    terms: tuple[SumTerm, ...]

    def module(self, *inputs: Shape) -> Call:
        return Call("WeightedSum", len(inputs))


@dataclass(frozen=True, slots=True)
class Multiply(Layer):
    """The product of a feature map and a gate per channel: (C, H, W), (C, 1, 1) -> (C, H, W)."""

    def module(self, *inputs: Shape) -> Call:
        return Call("Multiply")


@dataclass(frozen=True, slots=True)
class Concat(Layer):
    """The concatenation of all inputs along channels: (C1, H, W), (C2, H, W), ... -> (C1 + C2 + ..., H, W)."""

    def out(self, *inputs: Shape) -> Shape:
        return (sum(shape[0] for shape in inputs), *inputs[0][1:])

    def module(self, *inputs: Shape) -> Call:
        return Call("Concat")


@dataclass(frozen=True, slots=True)
class ChannelShuffle(Layer):
    """A permutation of channels that mixes the groups of a grouped convolution: (C, H, W) -> (C, H, W).

    Of C channels in g groups, channel c moves to ``c % (C / g) * g + c // (C / g)``.

    References:
        Zhang et al., "ShuffleNet: An extremely efficient convolutional neural network for mobile devices", CVPR 2018,
        arXiv:1707.01083, section 3.1.
    """

    groups: int

    def module(self, *inputs: Shape) -> Call:
        return Call("nn.ChannelShuffle", self.groups)


@dataclass(frozen=True, slots=True)
class Shift(Layer):
    """A shift of all values by one pixel up and one to the left, filled with zeros: (C, H, W) -> (C, H, W)."""

    def module(self, *inputs: Shape) -> Call:
        return Call("nn.ZeroPad2d", (-1, 1, -1, 1))


@dataclass(frozen=True, slots=True)
class Truncate(Layer):
    """The first channels of its input: (C, H, W) -> (channels, H, W)."""

    channels: int

    def out(self, *inputs: Shape) -> Shape:
        return self.channels, *inputs[0][1:]

    def module(self, *inputs: Shape) -> Call:
        return Call("nn.ZeroPad3d", (0, 0, 0, 0, 0, self.channels - inputs[0][0]))


@dataclass(frozen=True, slots=True)
class Zero(Layer):
    """Zeros in the shape of the input."""

    def module(self, *inputs: Shape) -> Call:
        return Call("Zero")


def _pooled_shape(shape: Shape, kernel: int, stride: int) -> Shape:
    """Return the output shape of a pool."""
    channels, *sizes = shape
    return (channels, *(_output_size(size, kernel, stride, (kernel - 1) // 2) for size in sizes))


def _output_size(size: int, window: int, stride: int, padding: int) -> int:
    """Return the output size of a window that slides over `size` values with `padding` zeros at each end."""
    return (size + 2 * padding - window) // stride + 1

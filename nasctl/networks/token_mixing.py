"""Primitive layers that mix positions without attention, and further layers of transformers."""

from __future__ import annotations

from dataclasses import dataclass

from nasctl.networks.node import Call, Layer, Shape


@dataclass(frozen=True, slots=True)
class TokenType(Layer):
    """The sum of each position and the learned vector of its segment: (T, D) -> (T, D).

    All positions are of the first segment, because nasctl's inputs have one segment. The vectors of the other segments
    count as parameters, as in published encoders, and do not change the output.
    """

    kinds: int = 2

    def params(self, *inputs: Shape) -> int:
        return self.kinds * inputs[0][1]

    def module(self, *inputs: Shape) -> Call:
        return Call("TokenType", self.kinds, inputs[0][1])


@dataclass(frozen=True, slots=True)
class Fourier(Layer):
    """The real part of the 2-D discrete Fourier transform of each head, over positions and values: (T, D) -> (T, D).

    It is ``C_T X C_d - S_T X S_d`` with matrices of cosines and sines, where d is D / heads. The MACs are those of four
    matrix products.

    References:
        Lee-Thorp et al., "FNet: Mixing tokens with Fourier transforms", NAACL 2022, arXiv:2105.03824, equation 3.
    """

    heads: int = 1

    def macs(self, *inputs: Shape) -> int:
        return 2 * _transform_macs(inputs[0], self.heads)

    def module(self, *inputs: Shape) -> Call:
        return Call("Fourier", self.heads)


@dataclass(frozen=True, slots=True)
class Cosine(Layer):
    """The 2-D cosine transform of type II of each head, over positions and values: (T, D) -> (T, D).

    It is ``y[k] = 2 sum_n x[n] cos(pi k (2 n + 1) / (2 N))`` in each direction, without the factors that would make it
    orthogonal. The MACs are those of two matrix products.
    """

    heads: int = 1

    def macs(self, *inputs: Shape) -> int:
        return _transform_macs(inputs[0], self.heads)

    def module(self, *inputs: Shape) -> Call:
        return Call("Cosine", self.heads)


@dataclass(frozen=True, slots=True)
class SeparableConv1d(Layer):
    """A depthwise convolution along positions and a pointwise one with a bias: (T, D) -> (T, width)."""

    width: int
    kernel: int

    def out(self, *inputs: Shape) -> Shape:
        return inputs[0][0], self.width

    def params(self, *inputs: Shape) -> int:
        return inputs[0][1] * (self.kernel + self.width) + self.width

    def macs(self, *inputs: Shape) -> int:
        length, width = inputs[0]
        return length * width * (self.kernel + self.width)

    def module(self, *inputs: Shape) -> Call:
        return Call("SeparableConv1d", inputs[0][1], self.width, self.kernel)


@dataclass(frozen=True, slots=True)
class DynamicConv(Layer):
    """A convolution along positions with its own kernel for each position and head.

    Values (T, D), kernels (T, H K) -> (T, D), where H is `heads`. The kernels are normalized by a softmax over their K
    taps.

    References:
        Wu et al., "Pay less attention with lightweight and dynamic convolutions", ICLR 2019, arXiv:1901.10430,
        section 4.
    """

    heads: int

    def macs(self, *inputs: Shape) -> int:
        (length, width), (_, taps) = inputs
        return length * width * (taps // self.heads)

    def module(self, *inputs: Shape) -> Call:
        return Call("DynamicConv", self.heads, inputs[1][1] // self.heads)


@dataclass(frozen=True, slots=True)
class ConcatFeatures(Layer):
    """The concatenation of all inputs along values: (T, D1), (T, D2), ... -> (T, D1 + D2 + ...)."""

    def out(self, *inputs: Shape) -> Shape:
        return inputs[0][0], sum(shape[1] for shape in inputs)

    def module(self, *inputs: Shape) -> Call:
        return Call("ConcatFeatures")


@dataclass(frozen=True, slots=True)
class HeadLinear(Layer):
    """The product of each head's values and one square matrix for all heads, without bias: (T, D) -> (T, D)."""

    heads: int

    def params(self, *inputs: Shape) -> int:
        return (inputs[0][1] // self.heads) ** 2

    def macs(self, *inputs: Shape) -> int:
        length, width = inputs[0]
        return length * width * (width // self.heads)

    def module(self, *inputs: Shape) -> Call:
        return Call("HeadLinear", self.heads, inputs[0][1] // self.heads)


@dataclass(frozen=True, slots=True)
class RelativeScores(Layer):
    """Scaled dot products of queries and learned vectors of relative positions: queries (T, D) -> (heads, T, T).

    Each of the 2 T - 1 distances has one vector, the same for all heads. The products are divided by the square root of
    the width of a head.

    References:
        Shaw et al., "Self-attention with relative position representations", NAACL 2018, arXiv:1803.02155, equation 5,
        the second term.
    """

    heads: int

    def out(self, *inputs: Shape) -> Shape:
        length, _ = inputs[0]
        return self.heads, length, length

    def params(self, *inputs: Shape) -> int:
        length, width = inputs[0]
        return (2 * length - 1) * (width // self.heads)

    def macs(self, *inputs: Shape) -> int:
        length, width = inputs[0]
        return length * length * width

    def centred_axes(self, parameter: str) -> tuple[int, ...]:
        return (0,)  # distance 0 is in the middle

    def module(self, *inputs: Shape) -> Call:
        length, width = inputs[0]
        return Call("RelativeScores", self.heads, length, width // self.heads)


def _transform_macs(shape: Shape, heads: int) -> int:
    """Return the MACs of one matrix product along positions and one along values, over all heads."""
    length, width = shape
    return length * width * (length + width // heads)

"""Primitive layers of networks on sequences: T tokens (or patches of an image) of D values each."""

from __future__ import annotations

from dataclasses import dataclass

from nasctl.networks.node import Call, Layer, Shape


@dataclass(frozen=True, slots=True)
class Embedding(Layer):
    """A learned vector for each token: (T,) integers below `vocabulary` -> (T, width)."""

    vocabulary: int
    width: int

    def out(self, *inputs: Shape) -> Shape:
        return (*inputs[0], self.width)

    def params(self, *inputs: Shape) -> int:
        return self.vocabulary * self.width

    def module(self, *inputs: Shape) -> Call:
        return Call("nn.Embedding", self.vocabulary, self.width)


@dataclass(frozen=True, slots=True)
class PositionEmbedding(Layer):
    """The sum of each position and its learned vector: (T, D) -> (T, D)."""

    def params(self, *inputs: Shape) -> int:
        length, width = inputs[0]
        return length * width

    def module(self, *inputs: Shape) -> Call:
        return Call("PositionEmbedding", *inputs[0])


@dataclass(frozen=True, slots=True)
class ClassToken(Layer):
    """A learned vector in front of the sequence, which the classifier reads: (T, D) -> (T + 1, D)."""

    def out(self, *inputs: Shape) -> Shape:
        length, width = inputs[0]
        return length + 1, width

    def params(self, *inputs: Shape) -> int:
        return inputs[0][1]

    def module(self, *inputs: Shape) -> Call:
        return Call("ClassToken", inputs[0][1])


@dataclass(frozen=True, slots=True)
class LayerNorm(Layer):
    """Layer normalization of each vector, with a learned scale and shift per value: (..., D) -> (..., D).

    References:
        Ba et al., "Layer normalization", 2016, arXiv:1607.06450.
    """

    def params(self, *inputs: Shape) -> int:
        return 2 * inputs[0][-1]

    def module(self, *inputs: Shape) -> Call:
        return Call("nn.LayerNorm", inputs[0][-1])


@dataclass(frozen=True, slots=True)
class GELU(Layer):
    """x times the probability that a standard normal variable is below x (Hendrycks and Gimpel, arXiv:1606.08415)."""

    def module(self, *inputs: Shape) -> Call:
        return Call("nn.GELU")


@dataclass(frozen=True, slots=True)
class Tanh(Layer):
    """The hyperbolic tangent."""

    def module(self, *inputs: Shape) -> Call:
        return Call("nn.Tanh")


@dataclass(frozen=True, slots=True)
class Softmax(Layer):
    """The softmax along the last dimension: (..., D) -> (..., D)."""

    def module(self, *inputs: Shape) -> Call:
        return Call("nn.Softmax", dim=-1)


@dataclass(frozen=True, slots=True)
class PatchEmbedding(Layer):
    """A vector for each square patch of an image: (C, H, W) -> (width, H / size, W / size).

    It is a convolution whose stride is its kernel size, without padding.

    References:
        Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021, arXiv:2010.11929, equation 1.
    """

    width: int
    size: int

    def out(self, *inputs: Shape) -> Shape:
        _, height, width = inputs[0]
        return self.width, height // self.size, width // self.size

    def params(self, *inputs: Shape) -> int:
        return self.width * (inputs[0][0] * self.size**2 + 1)

    def macs(self, *inputs: Shape) -> int:
        channels, (_, rows, columns) = inputs[0][0], self.out(*inputs)
        return self.width * channels * self.size**2 * rows * columns

    def module(self, *inputs: Shape) -> Call:
        return Call("nn.Conv2d", inputs[0][0], self.width, self.size, stride=self.size)


@dataclass(frozen=True, slots=True)
class FlattenMap(Layer):
    """A feature map as a sequence of its pixels, row by row: (C, H, W) -> (H * W, C)."""

    def out(self, *inputs: Shape) -> Shape:
        channels, height, width = inputs[0]
        return height * width, channels

    def module(self, *inputs: Shape) -> Call:
        return Call("FlattenMap")


@dataclass(frozen=True, slots=True)
class UnflattenMap(Layer):
    """A sequence as a feature map, the inverse of `FlattenMap`: (height * width, C) -> (C, height, width)."""

    height: int
    width: int

    def out(self, *inputs: Shape) -> Shape:
        return inputs[0][1], self.height, self.width

    def module(self, *inputs: Shape) -> Call:
        return Call("UnflattenMap", self.height, self.width)


@dataclass(frozen=True, slots=True)
class AttentionScores(Layer):
    """Scaled dot products of queries and keys in each head: queries (T, D), keys (S, D) -> (heads, T, S).

    The products are divided by the square root of the width of a head.

    References:
        Vaswani et al., "Attention is all you need", NeurIPS 2017, arXiv:1706.03762, equation 1 before the softmax.
    """

    heads: int

    def out(self, *inputs: Shape) -> Shape:
        queries, keys = inputs
        return self.heads, queries[0], keys[0]

    def macs(self, *inputs: Shape) -> int:
        queries, keys = inputs
        return queries[0] * keys[0] * queries[1]

    def module(self, *inputs: Shape) -> Call:
        return Call("AttentionScores", self.heads)


@dataclass(frozen=True, slots=True)
class WeightedValues(Layer):
    """Values weighted by attention in each head: weights (heads, T, S), values (S, D) -> (T, D)."""

    def out(self, *inputs: Shape) -> Shape:
        weights, values = inputs
        return weights[1], values[1]

    def macs(self, *inputs: Shape) -> int:
        weights, values = inputs
        return weights[1] * weights[2] * values[1]

    def module(self, *inputs: Shape) -> Call:
        return Call("WeightedValues")


@dataclass(frozen=True, slots=True)
class FirstToken(Layer):
    """The vector at the first position: (T, D) -> (D,)."""

    def out(self, *inputs: Shape) -> Shape:
        return (inputs[0][1],)

    def module(self, *inputs: Shape) -> Call:
        return Call("FirstToken")


@dataclass(frozen=True, slots=True)
class MeanToken(Layer):
    """The mean of the vectors at all positions: (T, D) -> (D,)."""

    def out(self, *inputs: Shape) -> Shape:
        return (inputs[0][1],)

    def module(self, *inputs: Shape) -> Call:
        return Call("MeanToken")

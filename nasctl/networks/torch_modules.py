"""Torch modules of nasctl's own layers. Each has the name of its layer, and B is the batch in shapes.

`nasctl export --format python` copies the source of these classes, so each stands alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Add(nn.Module):
    """The sum of the inputs."""

    def forward(self, *inputs: Tensor) -> Tensor:
        return sum(inputs[1:], start=inputs[0])


class WeightedSum(nn.Module):
    """The sum of the inputs, each times a factor, which is 1 unless others are given."""

    factors: Tensor

    def __init__(self, terms: int) -> None:
        super().__init__()
        self.register_buffer("factors", torch.ones(terms))

    def forward(self, *inputs: Tensor) -> Tensor:
        factors = self.factors.unbind()
        total = factors[0] * inputs[0]
        for factor, x in zip(factors[1:], inputs[1:], strict=True):
            total = total + factor * x
        return total


class Multiply(nn.Module):
    """The product of a feature map and its gates."""

    def forward(self, x: Tensor, gate: Tensor) -> Tensor:
        return x * gate


class Concat(nn.Module):
    """The concatenation of all inputs along channels."""

    def forward(self, *inputs: Tensor) -> Tensor:
        return torch.cat(inputs, 1)


class Zero(nn.Module):
    """Zeros that depend on the input, so that layers before it get a gradient of 0 instead of None."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 0.0


class EarlyExit(nn.Module):
    """The logits of the first exit whose largest probability exceeds its threshold, else those of the last exit."""

    def __init__(self, *thresholds: float) -> None:
        super().__init__()
        self.thresholds = thresholds

    def forward(self, *logits: Tensor) -> Tensor:
        found = logits[-1]
        for threshold, one in reversed([*zip(self.thresholds, logits[:-1], strict=True)]):
            found = torch.where(one.softmax(-1).amax(-1, keepdim=True) > threshold, one, found)
        return found


class PositionEmbedding(nn.Module):
    """The sum of (B, T, D) and a learned vector for each position."""

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(length, width))
        nn.init.trunc_normal_(self.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight


class ClassToken(nn.Module):
    """A learned vector in front of the sequence: (B, T, D) -> (B, T + 1, D)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1, 1, width))
        nn.init.trunc_normal_(self.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((self.weight.expand(x.shape[0], -1, -1), x), 1)


class FlattenMap(nn.Module):
    """A feature map as a sequence: (B, C, H, W) -> (B, H * W, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2).transpose(1, 2)


class UnflattenMap(nn.Module):
    """A sequence as a feature map: (B, height * width, C) -> (B, C, height, width)."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.size = (height, width)

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2).reshape(x.shape[0], x.shape[2], *self.size)


class AttentionScores(nn.Module):
    """Scaled dot products: queries (B, T, D), keys (B, S, D) -> (B, heads, T, S)."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        queries, keys = (x.view(*x.shape[:2], self.heads, -1).transpose(1, 2) for x in (queries, keys))
        scores: Tensor = queries @ keys.transpose(2, 3) / queries.shape[3] ** 0.5
        return scores


class WeightedValues(nn.Module):
    """Weighted sums of values: weights (B, heads, T, S), values (B, S, D) -> (B, T, D)."""

    def forward(self, weights: Tensor, values: Tensor) -> Tensor:
        values = values.view(*values.shape[:2], weights.shape[1], -1).transpose(1, 2)
        return (weights @ values).transpose(1, 2).flatten(2)


class FirstToken(nn.Module):
    """The vector at the first position: (B, T, D) -> (B, D)."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 0]


class MeanToken(nn.Module):
    """The mean over positions: (B, T, D) -> (B, D)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1)


class TokenType(nn.Module):
    """The sum of (B, T, D) and the first of several learned vectors."""

    def __init__(self, kinds: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(kinds, width))
        nn.init.trunc_normal_(self.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight[0]


class Fourier(nn.Module):
    """The real part of the Fourier transform of (T, D / heads) in each head of (B, T, D)."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads

    def angles(self, size: int, like: Tensor) -> Tensor:
        steps = torch.arange(size, device=like.device)
        return torch.outer(steps, steps).remainder(size).to(like.dtype) * (2 * torch.pi / size)

    def forward(self, x: Tensor) -> Tensor:
        x = x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)
        places, values = self.angles(x.shape[2], x), self.angles(x.shape[3], x)
        real, imaginary = ((x @ wave).transpose(2, 3) for wave in (values.cos(), values.sin()))
        x = real @ places.cos() - imaginary @ places.sin()  # (B, heads, D / heads, T)
        return x.permute(0, 3, 1, 2).flatten(2)


class Cosine(nn.Module):
    """The cosine transform of type II of (T, D / heads) in each head of (B, T, D)."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads

    def waves(self, size: int, like: Tensor) -> Tensor:
        steps = torch.arange(size, device=like.device)
        turns = torch.outer(steps, 2 * steps + 1).remainder(4 * size).to(like.dtype)
        return 2 * torch.cos(turns * (torch.pi / (2 * size)))

    def forward(self, x: Tensor) -> Tensor:
        x = x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)
        places, values = self.waves(x.shape[2], x), self.waves(x.shape[3], x)
        x = (x @ values.T).transpose(2, 3) @ places.T  # (B, heads, D / heads, T)
        return x.permute(0, 3, 1, 2).flatten(2)


class SeparableConv1d(nn.Module):
    """A depthwise and a pointwise convolution along positions: (B, T, D) -> (B, T, width)."""

    def __init__(self, channels: int, width: int, kernel: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False)
        self.pointwise = nn.Conv1d(channels, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.pointwise(self.depthwise(x.transpose(1, 2)))
        return out.transpose(1, 2)


class DynamicConv(nn.Module):
    """A convolution with its own kernel for each position and head, normalized by a softmax over taps.

    Values (B, T, D), kernels (B, T, heads * taps) -> (B, T, D).
    """

    def __init__(self, heads: int, taps: int) -> None:
        super().__init__()
        self.heads, self.taps = heads, taps

    def forward(self, values: Tensor, kernels: Tensor) -> Tensor:
        reach = self.taps // 2
        windows = nn.functional.pad(values, (0, 0, reach, reach)).unfold(1, self.taps, 1)
        windows = windows.reshape(*values.shape[:2], self.heads, -1, self.taps)
        weights = kernels.view(*kernels.shape[:2], self.heads, self.taps, 1).softmax(3)
        return (windows @ weights).flatten(2)


class ConcatFeatures(nn.Module):
    """The concatenation of all inputs along values."""

    def forward(self, *inputs: Tensor) -> Tensor:
        return torch.cat(inputs, 2)


class HeadLinear(nn.Module):
    """The product of each head of (B, T, D) and one matrix."""

    def __init__(self, heads: int, width: int) -> None:
        super().__init__()
        self.heads = heads
        self.weight = nn.Parameter(torch.empty(width, width).uniform_(-0.1, 0.1))

    def forward(self, x: Tensor) -> Tensor:
        return (x.view(*x.shape[:2], self.heads, -1) @ self.weight).flatten(2)


class RelativeScores(nn.Module):
    """Scaled dot products with a learned vector for each distance: queries (B, T, D) -> (B, heads, T, T)."""

    def __init__(self, heads: int, length: int, width: int) -> None:
        super().__init__()
        self.heads = heads
        self.weight = nn.Parameter(torch.empty(2 * length - 1, width).normal_(0.0, 0.02))

    def forward(self, queries: Tensor) -> Tensor:
        queries = queries.view(*queries.shape[:2], self.heads, -1).transpose(1, 2)
        places = torch.arange(queries.shape[2], device=queries.device)
        vectors = self.weight[places[:, None] - places + len(places) - 1]
        batch, heads, length, width = queries.shape
        rows = queries.permute(2, 0, 1, 3).reshape(length, batch * heads, width) @ vectors.transpose(1, 2)
        scores: Tensor = rows.view(length, batch, heads, -1).permute(1, 2, 0, 3) / width**0.5
        return scores

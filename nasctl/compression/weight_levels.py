"""Quantised weights: the values that a weight can have, scales and exponents by least error, and packing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from nasctl.networks.quantized_layer import Levels

EXPONENTS = tuple(k / 20 for k in range(6, 21))  # exponents of power levels that are tried: 0.3 to 1

CLIPS = tuple(k / 20 for k in range(6, 21))  # largest values that are tried, as shares of the largest weight

CLIPPED_BITS = 7  # bits up to which clipping is tried; with more, rounding errors of large weights count little

SAMPLE = 1 << 14  # weights of a layer from which its exponent is chosen, or more where rows are long

LEAST_ROWS = 16  # rows of a layer from which its exponent is chosen, if it has as many


class QuantizedTensor(NamedTuple):
    """Weights as integers from -n to n, n = 2^(bits-1) - 1, with their scales, (C,) or (1,), and exponent."""

    whole: Tensor
    scale: Tensor
    exponent: float
    bits: int

    @property
    def values(self) -> Tensor:
        """The weights as float32, computed as `QuantizedWeights.unpacked` computes them."""
        levels = self.whole.sign() * (self.whole.abs() / largest(self.bits)) ** (1 / torch.tensor(self.exponent))
        flat = levels.view(len(self.scale), -1) * self.scale.unsqueeze(1)
        return flat.view(self.whole.shape)

    @property
    def packed(self) -> Tensor:
        """The integers plus n as a stream of bits, the lowest bit of each first, (bytes,) uint8."""
        words = (self.whole.flatten().int() + largest(self.bits)).numpy().astype(np.uint32)
        stream = (words[:, None] >> np.arange(self.bits, dtype=np.uint32)) & 1
        return torch.from_numpy(np.packbits(stream.astype(np.uint8).ravel(), bitorder="little"))


def largest(bits: int) -> int:
    """Return the largest integer of a weight of some bits, n = 2^(bits-1) - 1."""
    return int(2 ** (bits - 1) - 1)


def quantized_tensor(weight: Tensor, bits: int, levels: Levels, per_tensor: bool = False) -> QuantizedTensor:
    """Return weights rounded to the nearest of their values, with the scales and the exponent of least squared error.

    No data is used. The published methods round |w|^a, and so not always to the nearest value, and scale by the largest
    weight; the error here is never larger.

    Args:
        weight: The weights; the first axis is that of the output channels.
        bits: Bits of each weight, 2 to 16.
        levels: "uniform", or "power" with one exponent for the layer.
        per_tensor: Whether all channels share one scale.

    References:
        Yvinec et al., "PowerQuant: automorphism search for non-uniform quantization", ICLR 2023, arXiv:2301.09858.
        Yvinec et al., "NUPES: non-uniform post-training quantization via power exponent search", 2023,
        arXiv:2308.05600.
    """
    rows = weight.detach().reshape(1 if per_tensor else len(weight), -1).float()
    exponent = _exponent(rows, bits) if levels == "power" else 1.0
    scale = _scales(rows, bits, exponent)[0]
    whole = rounded(rows / scale.unsqueeze(1), bits, exponent)
    return QuantizedTensor(whole.view(weight.shape), scale, exponent, bits)


def rounded(shares: Tensor, bits: int, exponent: float) -> Tensor:
    """Return the integers of the nearest values of weights.

    Args:
        shares: Weights divided by their scale.
        bits: Bits of each weight.
        exponent: The exponent of the values.
    """
    most = largest(bits)
    if exponent == 1.0:
        return (shares * most).round().clamp(-most, most).int()
    values = magnitudes(bits, exponent)
    middles = (values[1:] + values[:-1]) / 2
    return (torch.bucketize(shares.abs().contiguous(), middles) * shares.sign()).int()


def magnitudes(bits: int, exponent: float) -> Tensor:
    """Return the values that are not negative, as shares of the scale, in order, (n + 1,)."""
    most = largest(bits)
    return (torch.arange(most + 1) / most) ** (1 / torch.tensor(exponent))


def _exponent(rows: Tensor, bits: int) -> float:
    """Return the exponent of least squared error over a sample of the weights; 1 for equal errors."""
    some = _sample(rows)
    errors = {one: float(_scales(some, bits, one)[1].sum()) for one in reversed(EXPONENTS)}
    return min(errors, key=lambda one: errors[one])


def _sample(rows: Tensor) -> Tensor:
    """Return whole rows, spread evenly; of one row the magnitudes at evenly spaced ranks.

    Weights in the corner of a kernel are distributed otherwise than those in its centre, and the largest weight of a
    row sets its scale, so rows are not thinned out where there are others.
    """
    if len(rows) == 1:
        ranks = torch.linspace(0, rows.numel() - 1, min(SAMPLE, rows.numel()), dtype=torch.float64)
        return rows.abs().sort().values[:, ranks.round().long()]
    number = min(len(rows), max(LEAST_ROWS, -(-SAMPLE // rows.shape[1])))
    return rows[torch.linspace(0, len(rows) - 1, number).round().long()]


def _scales(rows: Tensor, bits: int, exponent: float) -> tuple[Tensor, Tensor]:
    """Return the scale of least squared error of each row, (R,), and the errors, (R,)."""
    peak = rows.abs().amax(1)
    peak = torch.where(peak > 0, peak, torch.ones_like(peak))  # a row of zeros, such as a pruned channel
    best, error = peak, torch.full_like(peak, torch.inf)
    for scale in _tried(peak, bits):
        shares = rows / scale.unsqueeze(1)
        whole = rounded(shares, bits, exponent)
        values = whole.sign() * (whole.abs() / largest(bits)) ** (1 / torch.tensor(exponent))
        found = ((values - shares) * scale.unsqueeze(1)).square().sum(1)
        best, error = torch.where(found < error, scale, best), torch.minimum(found, error)
    return best, error


def _tried(peak: Tensor, bits: int) -> Iterator[Tensor]:
    """Yield the scales to try for each row, the largest weights first."""
    yield peak
    if bits <= CLIPPED_BITS:
        yield from (peak * share for share in reversed(CLIPS[:-1]))


__all__ = ["QuantizedTensor", "largest", "magnitudes", "quantized_tensor", "rounded"]

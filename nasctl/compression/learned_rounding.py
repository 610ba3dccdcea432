"""Learned rounding of weights, and learned exponents: each weight is rounded up or down for the outputs of its layer.

References:
    Nagel et al., "Up or down? Adaptive rounding for post-training quantization", ICML 2020, arXiv:2004.10568.
    Yvinec et al., "NUPES: non-uniform post-training quantization via power exponent search", 2023, arXiv:2308.05600.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from nasctl.compression.input_moments import InputMoments
from nasctl.compression.weight_levels import EXPONENTS, QuantizedTensor, largest, magnitudes

LEARNED_BITS = 6  # bits of weights up to which rounding is learned; with more, the nearest value changes no output

STEPS = 300  # of Adam, on all columns at once

RATE = 0.1  # of the roundings

EXPONENT_RATE = 0.01  # of the logarithm of the exponent

WARM_UP = 0.2  # share of the steps before roundings are drawn to 0 or 1

STRETCH = (-0.1, 1.1)  # range of the stretched sigmoid before it is clipped to 0 and 1; equation 23 of AdaRound

DECAY = (20.0, 2.0)  # first and last exponent of the term that draws roundings to 0 or 1; equation 24

WEIGHT = 3.0  # of the mean of this term, where the error of rounding to the nearest value is 1


def learned_tensor(weight: Tensor, nearest: QuantizedTensor, moments: InputMoments, power: bool) -> QuantizedTensor:
    """Return weights rounded up or down for the least squared error of the layer's outputs on calibration images.

    Soft roundings, and the exponent of power levels with them, are learned by gradients. The scales are those of least
    squares for the roundings found. The error is never larger than with the nearest values, which are returned if
    learning finds nothing better. It counts without its mean, for which biases are corrected.

    The papers draw some images for each step. Here the error follows from the moments of all columns, so no seed is
    needed, and a step costs two products of the weights with these moments, whatever the number of images.

    Args:
        weight: The weights; the first axis is that of the output channels.
        nearest: The weights rounded to their nearest values, with the scales and the exponent to begin with.
        moments: Moments of the layer's inputs.
        power: Whether the exponent is learned.
    """
    rows = weight.detach().float().reshape(len(weight), -1)
    error = _Error(moments, rows)
    before = error(nearest.values.reshape(rows.shape))
    if not before > 0:
        return nearest
    whole, exponent = _learned_integers(rows, nearest, error, before, power)
    found = QuantizedTensor(whole.view(nearest.whole.shape), nearest.scale, exponent, nearest.bits)
    found = found._replace(scale=_least_squares(found, error))
    after = error(found.values.reshape(rows.shape))
    return found if after < before else nearest


class _Error:
    """The squared error of a layer's outputs without its mean, summed over output channels."""

    def __init__(self, moments: InputMoments, rows: Tensor) -> None:
        self._moments, self.rows = moments, rows

    def __call__(self, values: Tensor) -> float:
        """Return the error of other weights, (outputs, K)."""
        difference = values - self.rows
        return float((difference * self.times(difference)).sum(dtype=torch.float64))

    def times(self, rows: Tensor) -> Tensor:
        """Return weights times the covariance, (outputs, K): half of the gradient of the error."""
        return self._moments.whole(self._moments.pieces(rows) @ self._moments.covariance)


def _learned_integers(
    rows: Tensor, nearest: QuantizedTensor, error: _Error, before: float, power: bool
) -> tuple[Tensor, float]:
    """Return the integers of the weights, (outputs, K), and the exponent."""
    most, scale = largest(nearest.bits), nearest.scale.unsqueeze(1)
    signs, shares = rows.sign(), (rows / scale).abs()
    levels = magnitudes(nearest.bits, nearest.exponent)
    lower = (torch.bucketize(shares.contiguous(), levels, right=True) - 1).clamp(0, most - 1)
    part = ((shares - levels[lower]) / (levels[lower + 1] - levels[lower])).clamp(0, 1)
    low, high = STRETCH
    soft = torch.logit((part - low) / (high - low)).requires_grad_()
    log = torch.tensor(math.log(nearest.exponent), requires_grad=power)
    groups = [{"params": [soft], "lr": RATE}, *([{"params": [log], "lr": EXPONENT_RATE}] if power else [])]
    optimiser = torch.optim.Adam(groups)
    for step in range(STEPS):
        with torch.enable_grad():
            roundings = (torch.sigmoid(soft) * (high - low) + low).clamp(0, 1)
            if power:
                levels = (torch.arange(most + 1) / most) ** torch.exp(-log)
            values = torch.lerp(levels[lower], levels[lower + 1], roundings) * signs * scale
            # The gradient of the error is known, so no product has to be differentiated.
            gradient = error.times(values.detach() - rows) * (2 / before)
            loss = (values * gradient).sum() + _undecided(roundings, step)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if power:
            with torch.no_grad():
                log.clamp_(math.log(EXPONENTS[0]), math.log(EXPONENTS[-1]))
    up = soft.detach() >= 0
    return ((lower + up) * signs).int(), float(log.detach().exp()) if power else 1.0


def _undecided(roundings: Tensor, step: int) -> Tensor:
    """Return the term that draws roundings to 0 or 1, equation 24 of AdaRound, divided by their number."""
    begun = (step / STEPS - WARM_UP) / (1 - WARM_UP)
    if begun < 0:
        return roundings.new_zeros(())
    first, last = DECAY
    exponent = last + (first - last) * (1 + math.cos(math.pi * begun)) / 2
    return WEIGHT * (1 - (2 * roundings - 1).abs() ** exponent).mean()


def _least_squares(found: QuantizedTensor, error: _Error) -> Tensor:
    """Return the scales of least squared error of the outputs for the integers and the exponent of weights."""
    units = found._replace(scale=torch.ones_like(found.scale)).values.reshape(error.rows.shape)
    product = error.times(units)
    shares = torch.stack([(error.rows * product).sum(1), (units * product).sum(1)]).double()
    if len(found.scale) == 1:
        shares = shares.sum(1, keepdim=True)
    scale = (shares[0] / shares[1]).float()
    return torch.where((shares[1] > 0) & (scale > 0), scale, found.scale)


__all__ = ["LEARNED_BITS", "learned_tensor"]

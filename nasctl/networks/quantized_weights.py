"""The torch module of a quantised layer. `nasctl export --format python` copies its source, so it stands alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class QuantizedWeights(nn.Module):
    """A layer of torch.nn with packed weights and a quantised input; its state holds the packed weights alone.

    A weight of b bits is one of 2n + 1 values, n = 2^(b-1) - 1: scale * sign(q) * |q / n|^(1 / exponent) for an integer
    q from -n to n. Exponent 1 makes the values uniform. An input is rounded to a multiple of `input_scale`, and clipped
    to the range from `input_low` to `input_high` multiples. With `power_inputs` its values are m * input_scale *
    sign(q) * |q / m|^(1 / input_exponent) for an integer q of that range, of which m is the largest magnitude, and q is
    rounded.

    Args:
        layer: Name of the class in torch.nn, such as "Conv2d".
        *args: Positional arguments of its constructor.
        weight_bits: Bits of a weight, 2 to 16.
        input_bits: Bits of a value of the input.
        scales: Number of scales: one for each output channel, or 1.
        power_inputs: Whether the values of the input have an exponent.
        **options: Keyword arguments of the constructor.
    """

    packed: Tensor
    scale: Tensor
    exponent: Tensor
    input_scale: Tensor
    input_low: Tensor
    input_high: Tensor
    input_exponent: Tensor

    def __init__(
        self,
        layer: str,
        *args: object,
        weight_bits: int,
        input_bits: int,
        scales: int = 1,
        power_inputs: bool = False,
        **options: object,
    ) -> None:
        super().__init__()
        self.weight_bits, self.input_bits, self.power_inputs = weight_bits, input_bits, power_inputs
        self.layer = getattr(nn, layer)(*args, **options, bias=True)
        weight = self.layer.weight
        del self.layer.weight
        self.layer.register_buffer("weight", torch.zeros_like(weight), persistent=False)
        size = -(-weight.numel() * weight_bits // 8)
        self.register_buffer("packed", torch.zeros(size, dtype=torch.uint8))  # the lowest bit of an integer comes first
        self.register_buffer("scale", torch.ones(scales))
        self.register_buffer("exponent", torch.ones(()))
        self.register_buffer("input_scale", torch.ones(()))
        self.register_buffer("input_low", torch.zeros(()))
        self.register_buffer("input_high", torch.full((), 2.0**input_bits - 1))
        if power_inputs:
            self.register_buffer("input_exponent", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layer(self.rounded(x))
        return found

    def rounded(self, x: Tensor) -> Tensor:
        """Return the input with its values rounded."""
        if not self.power_inputs:
            return (x / self.input_scale).round().clamp(self.input_low, self.input_high) * self.input_scale
        most = torch.maximum(self.input_high, -self.input_low)
        shares = x / (self.input_scale * most)
        whole = (shares.sign() * shares.abs() ** self.input_exponent * most).round()
        levels = whole.clamp(self.input_low, self.input_high) / most
        return levels.sign() * levels.abs() ** (1 / self.input_exponent) * (self.input_scale * most)

    def unpacked(self) -> Tensor:
        """Return the weights, as float32, of the packed integers."""
        bits, weight = self.weight_bits, self.layer.weight
        stream = (self.packed.unsqueeze(1) >> torch.arange(8, device=weight.device)) & 1
        words = stream.flatten()[: weight.numel() * bits].view(-1, bits).int()
        most = 2 ** (bits - 1) - 1
        whole = (words << torch.arange(bits, device=weight.device)).sum(1) - most
        levels = whole.sign() * (whole.abs() / most) ** (1 / self.exponent)
        found: Tensor = (levels.view(len(self.scale), -1) * self.scale.unsqueeze(1)).view(weight.shape)
        return found

    def _load_from_state_dict(self, *args: object, **options: object) -> None:
        super()._load_from_state_dict(*args, **options)
        with torch.no_grad():
            self.layer.weight.copy_(self.unpacked())

"""The torch module of a layer with pruned weights. `nasctl export --format python` copies its source."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SparseWeights(nn.Module):
    """A layer of torch.nn whose state holds the kept weights and their places, and no zeros.

    The places of k of n weights are a bitmap of n bits, or a code of Elias and Fano: of each place, in order, the upper
    bits in unary (bit `(place >> low_bits) + number of earlier places` of a stream is set) and then the `low_bits`
    lower bits.

    Args:
        layer: Name of the class in torch.nn, such as "Conv2d".
        *args: Positional arguments of its constructor.
        kept: Number of weights that are kept.
        low_bits: Lower bits of a place; -1 for a bitmap.
        **options: Keyword arguments of the constructor.
    """

    positions: Tensor
    values: Tensor

    def __init__(self, layer: str, *args: object, kept: int, low_bits: int = -1, **options: object) -> None:
        super().__init__()
        self.low_bits = low_bits
        self.layer = getattr(nn, layer)(*args, **options)
        weight = self.layer.weight
        del self.layer.weight
        self.layer.register_buffer("weight", torch.zeros_like(weight), persistent=False)
        upper = kept + ((weight.numel() - 1) >> max(low_bits, 0))  # bits of the stream in unary
        bits = weight.numel() if low_bits < 0 else upper + kept * low_bits
        self.register_buffer("positions", torch.zeros(-(-bits // 8), dtype=torch.uint8))  # the lowest bit comes first
        self.register_buffer("values", torch.zeros(kept))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layer(x)
        return found

    def unpacked(self) -> Tensor:
        """Return the weights with their zeros."""
        weight, low, device = self.layer.weight, self.low_bits, self.values.device
        stream = ((self.positions.unsqueeze(1) >> torch.arange(8, device=device)) & 1).flatten()
        count, size = len(self.values), weight.numel()
        if low < 0:
            places = stream[:size].nonzero().squeeze(1)
        else:
            upper = count + ((size - 1) >> low)
            high = stream[:upper].nonzero().squeeze(1) - torch.arange(count, device=device)
            words = stream[upper : upper + count * low].view(count, low).long()
            places = (high << low) + (words << torch.arange(low, device=device)).sum(1)
        found = torch.zeros(size, device=device)
        found[places] = self.values
        return found.view(weight.shape)

    def _load_from_state_dict(self, *args: object, **options: object) -> None:
        super()._load_from_state_dict(*args, **options)
        with torch.no_grad():
            self.layer.weight.copy_(self.unpacked())

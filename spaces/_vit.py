"""Torch modules of the vit space, kept apart from it so that describing a network needs no torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RelativePositions(nn.Module):
    """Relative position vectors of image patches, multiplied with queries or weights and added to a target.

    With `keys`, the module maps queries (B, T, D) and adds to scores (B, heads, T, T). Otherwise it maps attention
    weights (B, heads, T, T) and adds to values (B, T, D).

    Position 0 is the class token. The other positions are the patches of an image of `side` rows, row by row. The
    vector of two positions is the sum of a row vector and a column vector. The row and column offsets are clipped to at
    most `reach` in either direction. Entry 0 of each table is used where either position is the class token.
    """

    offset_index: Tensor

    def __init__(self, side: int, width: int, reach: int, keys: bool) -> None:
        super().__init__()
        self.keys = keys
        offsets = 2 * reach + 2
        self.rows, self.columns = (nn.Parameter(torch.empty(offsets, width)) for _ in range(2))
        nn.init.trunc_normal_(self.rows, std=0.02)
        nn.init.trunc_normal_(self.columns, std=0.02)
        position = torch.arange(side**2)
        row_offsets, column_offsets = (
            nn.functional.pad((along[None, :] - along[:, None]).clamp(-reach, reach) + reach + 1, (1, 0, 1, 0))
            for along in (position // side, position % side)
        )
        index = row_offsets * offsets + column_offsets  # (T, T), query by key
        self.register_buffer("offset_index", index, persistent=False)

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        sums = self.rows[:, None] + self.columns
        vectors = nn.functional.embedding(self.offset_index, sums.flatten(0, 1))  # (T, T, width)
        width = vectors.shape[2]
        if self.keys:
            queries = x.view(*x.shape[:2], -1, width).permute(1, 0, 2, 3).flatten(1, 2)  # (T, B * heads, width)
            scores = queries @ vectors.transpose(1, 2) / width**0.5
            total: Tensor = target + scores.view(len(scores), *target.shape[:2], -1).permute(1, 2, 0, 3)
            return total
        values = x.permute(2, 0, 1, 3).flatten(1, 2) @ vectors
        return target + values.view(len(values), *x.shape[:2], -1).transpose(0, 1).flatten(2)


class MeanPatch(nn.Module):
    """The mean over all positions but the first, which is the class token: (B, T, D) -> (B, D)."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 1:].mean(1)

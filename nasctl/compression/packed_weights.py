"""Masks of weights by their scores, and the kept weights packed with their places."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from nasctl.networks.sparse_layer import code_bits, low_bits


def kept_places(scores: Tensor, kept: int) -> Tensor:
    """Return the places of the largest scores of a flattened tensor, ascending, (kept,) int64.

    Of equal scores, the first ones are kept.
    """
    order = torch.sort(scores.flatten(), descending=True, stable=True).indices
    return order[:kept].sort().values


def packed_places(places: Tensor, weights: int) -> Tensor:
    """Return the places of kept weights as `SparseWeights` reads them, (bytes,) uint8.

    Args:
        places: The places, ascending, (K,) int64 with K > 0.
        weights: Number of weights of the layer.
    """
    found, kept = places.numpy(), len(places)
    low = low_bits(weights, kept)
    stream = np.zeros(code_bits(weights, kept, low), np.uint8)
    if low < 0:
        stream[found] = 1
    else:
        stream[(found >> low) + np.arange(kept)] = 1
        words = (found[:, None] >> np.arange(low)) & 1
        stream[len(stream) - kept * low :] = words.ravel()
    return torch.from_numpy(np.packbits(stream, bitorder="little"))


__all__ = ["kept_places", "packed_places"]

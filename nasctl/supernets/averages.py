"""Averages of weights in place of the weights, for evaluations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def averaged(tensors: Mapping[str, Tensor], averages: Mapping[str, Tensor]) -> Iterator[None]:
    """Give tensors the values of their averages inside the block, and their own values after it.

    Args:
        tensors: Tensors by name.
        averages: The averages of some of them.
    """
    own = {name: tensors[name].detach().clone() for name in averages}
    try:
        _fill(tensors, averages)
        yield
    finally:
        _fill(tensors, own)


@torch.no_grad()
def _fill(tensors: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    for name, value in values.items():
        tensors[name].copy_(value)


__all__ = ["averaged"]

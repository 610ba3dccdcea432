"""The columns of inputs that the weights of a layer multiply: a convolution is a product of matrices.

A layer with G groups multiplies each row of weights, of length K = input channels / G * kernel size, with the columns
of its group; a linear layer has one group.
"""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor, nn
from torch.nn.functional import pad


def groups_of(part: nn.Module) -> int:
    """Return the number of groups of a convolution or linear layer."""
    return 1 if isinstance(part, nn.Linear) else int(part.groups)  # type: ignore[arg-type]


def mean_columns(part: nn.Module, x: Tensor) -> Tensor:
    """Return the mean column over all examples and positions, (G, K) float64.

    Args:
        part: The layer.
        x: Inputs of the layer, (B, ...).
    """
    mean = x.mean(0, dtype=torch.float64, keepdim=True)
    if isinstance(part, nn.Linear):
        return mean.view(-1, mean.shape[-1]).mean(0, keepdim=True)
    windows = _windows(part, mean)
    places = tuple(range(2, 2 + (windows.ndim - 2) // 2))
    return windows.mean(places).reshape(groups_of(part), -1)


def some_columns(part: nn.Module, x: Tensor, number: int, generator: torch.Generator) -> Tensor:
    """Return columns at random positions of each example, (G, B * n, K), n = `number` or all positions.

    Args:
        part: The layer.
        x: Inputs of the layer, (B, ...).
        number: Positions of each example.
        generator: Draws the positions, without replacement.
    """
    if isinstance(part, nn.Linear):
        rows = x.reshape(len(x), -1, x.shape[-1])
        examples, places = _positions(len(x), rows.shape[1], number, generator)
        return rows[examples, places].unsqueeze(0)
    windows = _windows(part, x)
    shape = windows.shape[2 : 2 + (windows.ndim - 2) // 2]
    examples, places = _positions(len(x), prod(shape), number, generator)
    at: tuple[Tensor | slice, ...] = (examples, slice(None), *torch.unravel_index(places, shape))
    picked = windows[at]  # (B * n, C, *kernel)
    return picked.reshape(len(picked), groups_of(part), -1).transpose(0, 1)


def _windows(part: nn.Module, x: Tensor) -> Tensor:
    """Return the padded input under the kernel at each position, a view of (B, C, *positions, *kernel)."""
    assert isinstance(part, nn.Conv1d | nn.Conv2d | nn.Conv3d)
    mode = "constant" if part.padding_mode == "zeros" else part.padding_mode
    x = pad(x, part._reversed_padding_repeated_twice, mode)
    for k, (size, stride, step) in enumerate(zip(part.kernel_size, part.stride, part.dilation, strict=True)):
        x = x.unfold(2 + k, (size - 1) * step + 1, stride)[..., ::step]
    return x


def _positions(examples: int, every: int, number: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return the examples and the positions of columns, (B * n,) each."""
    if number >= every:
        chosen = [torch.arange(every)] * examples
    else:
        chosen = [torch.randperm(every, generator=generator)[:number] for _ in range(examples)]
    return torch.arange(examples).repeat_interleave(len(chosen[0])), torch.cat(chosen)


__all__ = ["groups_of", "mean_columns", "some_columns"]

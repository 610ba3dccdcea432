"""The order of the numbers of images in memory, on which the speed of convolutions depends."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def channels_last(examples: Tensor) -> Tensor:
    """Return examples with the channels of each place side by side, if they are images on a CPU.

    Convolutions of CPUs are up to twice as fast in this layout, and give it to all maps that follow
    (`python perf/layout.py`). Values and shape stay the same.

    Args:
        examples: Images, (B, C, H, W), or other examples, which are returned as they are.
    """
    if examples.ndim != 4 or examples.device.type != "cpu":
        return examples
    return examples.contiguous(memory_format=torch.channels_last)


def usual_layout(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return the inputs of a module, maps in torch's usual layout; a forward pre-hook for modules that may need it."""
    return tuple(one.contiguous() if one.ndim == 4 else one for one in inputs)


__all__ = ["channels_last", "usual_layout"]

"""torch itself, on the CPU or a CUDA device."""

from __future__ import annotations

import torch

from nasctl.hardware.precision import Precision
from nasctl.hardware.profiling.timed_network import TimedNetwork
from nasctl.hardware.runtimes import NetworkCall

__all__ = ["TorchRuntime"]

DTYPES: dict[Precision, torch.dtype] = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


class TorchRuntime:
    """torch, which runs the module of a network."""

    title = "torch"
    precisions: tuple[Precision, ...] = tuple(DTYPES)
    cuda = True

    def call(self, timed: TimedNetwork, torch_device: str, threads: int) -> NetworkCall:
        dtype = DTYPES[timed.precision]
        module, inputs = timed.instance
        module = module.to(torch_device, dtype)
        inputs = [one.to(torch_device, dtype if one.is_floating_point() else None) for one in inputs]
        return lambda: module(*inputs)

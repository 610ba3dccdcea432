"""Modules without weights: the layers of a network, whose parameters are given to each call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy, deepcopy
from functools import lru_cache

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from nasctl.networks.executable import Executable, construct
from nasctl.networks.graph import Network
from nasctl.networks.node import Layer, Shape

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)

NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # buffers of batch norms


def skeleton(network: Network, statistics: bool = False) -> Executable:
    """Return a module of a network whose trainable parameters are on the meta device.

    Args:
        network: The network.
        statistics: Whether batch norms have running statistics, fresh ones; otherwise they always use those of the
            batch.
    """
    parts = [_part(node.layer, node.in_shapes, statistics) for node in network.nodes]
    return Executable(network.nodes, network.output, parts)


@lru_cache(maxsize=1 << 14)
def template(layer: Layer, in_shapes: tuple[Shape, ...]) -> nn.Module:
    """Return a module of a layer to copy, with trainable parameters on the meta device and constants as they are."""
    call = layer.module(*in_shapes)
    with torch.device("meta"):
        part = construct(call)
    norms = {id(one) for module in part.modules() if isinstance(module, _NormBase) for one in module.buffers()}
    fixed = [one for one in part.parameters() if not one.requires_grad]
    if fixed or any(id(one) not in norms for one in part.buffers()):  # constants have values
        with torch.random.fork_rng(devices=[]):
            part = construct(call)
        for module in part.modules():
            for name, one in module.named_parameters(recurse=False):
                if one.requires_grad:
                    module._parameters[name] = nn.Parameter(one.detach().to("meta"))
    for module in part.modules():
        if getattr(module, "inplace", False):  # a metric or a loss may keep the tensor
            module.inplace = False  # type: ignore[assignment]
    return part


def _part(layer: Layer, in_shapes: tuple[Shape, ...], statistics: bool) -> nn.Module:
    """Return a new module of a layer."""
    source = template(layer, in_shapes)
    if source._modules:
        part = deepcopy(source)
    else:
        part = copy(source)
        for name, value in part.__dict__.items():  # parameters, buffers and hooks
            if isinstance(value, dict):
                part.__dict__[name] = value.copy()
        for name, parameter in part._parameters.items():  # of its own, or torch would take equal layers for tied ones
            if parameter is not None and parameter.requires_grad:
                part._parameters[name] = nn.Parameter(parameter)
    for module in part.modules():
        if isinstance(module, _NormBase) and module.track_running_stats:
            _set_statistics(module, statistics)
    return part


def _set_statistics(norm: _NormBase, statistics: bool) -> None:
    """Give a batch norm fresh running statistics, or none."""
    if not statistics:
        norm.track_running_stats = False
    for name in STATISTICS:
        meta = norm._buffers[name]
        if meta is not None:
            fill = torch.ones if name == "running_var" else torch.zeros
            norm._buffers[name] = fill(meta.shape, dtype=meta.dtype) if statistics else None


@contextmanager
def without_statistics(module: nn.Module) -> Iterator[None]:
    """Let the batch norms of a module use the statistics of each batch inside the block, and change none."""
    norms = [one for one in module.modules() if isinstance(one, _NormBase) and one.track_running_stats]
    kept = [dict(one._buffers) for one in norms]
    try:
        for one in norms:
            one.track_running_stats = False
            one._buffers.update(dict.fromkeys(STATISTICS))
        yield
    finally:
        for one, buffers in zip(norms, kept, strict=True):
            one.track_running_stats = True
            one._buffers.update(buffers)


__all__ = ["CONVOLUTIONS", "NORMS", "skeleton", "template", "without_statistics"]

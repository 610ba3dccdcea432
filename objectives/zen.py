"""Zen-Score: how much an untrained network's maps change with its input."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from nasctl.api import Candidate, Direction, GlobalAvgPool, Network, Transform, only_maps

__all__ = ["Zen"]

STEP = 0.01  # standard deviation of what is added to the input


class Zen:
    """``log Delta + sum log sqrt(mean v)``, the sum over batch norms and v a norm's variances, one for each channel.

    Delta is the mean over the batch of ``sum |f(x) - f(x + 0.01 e)|``, where f is what goes into the global pool, x and
    e are N(0, 1) and so are the weights. Batch norms use the statistics of the batch; the sum puts back the scale that
    they take away.

    Departures: v is the unbiased variance of the batch x, where the released code (github.com/idstcv/ZenNAS) has
    running averages over x, x + 0.01 e and all draws, which depend on the momentum and on how many draws came before;
    residual links stay, which the authors' searches take out; the mean is over as many draws as the fidelity repeats,
    not 32. Only norms that f depends on count, and none whose input is the same everywhere, as behind zeros.

    References:
        Lin et al., "Zen-NAS: A zero-shot NAS for high-performance image recognition", ICCV 2021, arXiv:2102.01063,
        algorithm 1.
    """

    unit = "log"
    direction: Direction = "max"
    transform: Transform = "identity"
    needs = frozenset({"module"})
    version = "2"
    inapplicable_reason = staticmethod(only_maps)

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: There are no maps, or none that depends on the input.
            ArithmeticError: The maps are not finite.
        """
        network, setting = candidate.scored, candidate.setting
        end, module = _last_map(network), candidate.module("normal")
        parts = list(module.children())
        norms = [part for k in _behind(network, end) if isinstance(part := parts[k], nn.BatchNorm2d)]
        for norm in norms:
            norm.momentum = 1.0  # so that the running variance is that of the last batch alone
        maps: list[Tensor] = []
        parts[end].register_forward_hook(lambda part, inputs, output: maps.append(output.double()))
        x, noise = _drawn((2, setting.batch, *candidate.input.shape), setting.seed, setting.device)
        with torch.no_grad():
            module(x)
            variances = [float(norm.running_var.mean()) for norm in norms if norm.running_var is not None]
            module(x + STEP * noise)
        delta = float((maps[0] - maps[1]).abs().sum()) / setting.batch
        if delta == 0.0:
            raise ValueError("the maps before the global pool do not depend on the input")
        score = math.log(delta) + sum(math.log(variance) / 2 for variance in variances if variance > 0)
        if not math.isfinite(score):
            raise ArithmeticError("the maps before the global pool are not finite")
        return score


def _last_map(network: Network) -> int:
    """The position of what goes into the global pool, or of the last map (C, H, W) where there is none.

    The way back from the output takes the first input of everything; the gate of a product is its second.
    """
    nodes, at, last = network.nodes, network.output, -1
    while at >= 0:
        if isinstance(nodes[at].layer, GlobalAvgPool):
            last = nodes[at].inputs[0]
            break
        last = at if last < 0 and len(nodes[at].out_shape) == 3 else last
        at = nodes[at].inputs[0]
    if last < 0:
        raise ValueError("the network has no maps")
    return last


def _behind(network: Network, end: int) -> list[int]:
    """The positions of the nodes that a value depends on, its own included."""
    found = {end}
    for k in range(end, -1, -1):
        found |= set(network.nodes[k].inputs) if k in found else set()
    return sorted(found - {-1})


def _drawn(shape: tuple[int, ...], seed: int, device: str) -> tuple[Tensor, Tensor]:
    first, second = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(device)
    if first.ndim == 4:  # a third faster on CPUs, by the convolutions
        return first.to(memory_format=torch.channels_last), second.to(memory_format=torch.channels_last)
    return first, second

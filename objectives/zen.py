"""Zen-Score: sensitivity of an untrained network's feature maps to its input."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from nasctl.api import (
    Candidate,
    Direction,
    Input,
    Network,
    Transform,
    calls_functions,
    is_batch_norm,
    is_global_pool,
    layer_kind,
    node_modules,
    only_maps,
    version_of_layers,
)

__all__ = ["Zen"]

NOISE_SCALE = 0.01  # standard deviation of the noise added to the input


class Zen:
    """Score ``log Delta + sum log sqrt(mean v)``, where the sum is over batch norms.

    v is the variance of each channel of a batch norm, and the mean is over its channels. Delta is the mean over the
    batch of ``sum |f(x) - f(x + 0.01 e)|``, where f is the input of the global pool. x, e and the weights are drawn
    from N(0, 1). Batch norms use the statistics of the batch and remove the scale of their inputs; the sum restores it.

    Differences from the released code (github.com/idstcv/ZenNAS): v is the unbiased variance of the batch x. The
    released code uses running averages over x, x + 0.01 e and all draws, which depend on the momentum and on the number
    of earlier draws. Residual connections stay, while the authors' searches remove them. The mean is over as many draws
    as the fidelity repeats, not 32. Only batch norms that f depends on count. A batch norm with constant input, for
    example after a `Zero` layer, does not count. A network with another norm before f, such as a group norm, has no
    score, because the sum does not restore the scale that it removes.

    References:
        Lin et al., "Zen-NAS: A zero-shot NAS for high-performance image recognition", ICCV 2021, arXiv:2102.01063,
        algorithm 1.
    """

    unit = "log"
    direction: Direction = "max"
    transform: Transform = "identity"
    needs = frozenset({"module"})
    version = "2"
    version_on = version_of_layers

    def inapplicable_reason(self, given: Input, example: Network) -> str:
        """Return why the score does not apply to networks like the example; "" if it does."""
        return only_maps(given, example) or _norms_obstacle(example, range(len(example.nodes)))

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: The network has no feature maps, none that depends on the input, or a norm of another kind.
            ArithmeticError: The feature maps are not finite.
        """
        network, setting = candidate.scored, candidate.setting
        if candidate.input.kind != "images":
            raise ValueError("zen feeds the network noise, but the network takes tokens")
        last, module = _last_map_position(network), candidate.module("normal")
        parts, read = node_modules(module, network), _dependencies(network, last)
        if obstacle := _norms_obstacle(network, read):
            raise ValueError(obstacle)
        norms: list[Any] = [parts[k] for k in read if is_batch_norm(parts[k])]
        if len(set(norms)) < len(norms) or parts.count(parts[last]) > 1:
            raise ValueError("a batch norm or the last layer runs more than once, so its variance is not the only one")
        for norm in norms:
            norm.momentum = 1.0  # the running variance then equals the variance of the last batch
        maps: list[Tensor] = []
        parts[last].register_forward_hook(lambda part, inputs, output: maps.append(output.double()))
        x, noise = _draw_inputs((2, setting.batch, *candidate.input.shape), setting.seed, setting.device)
        with torch.no_grad():
            module(x)
            variances = [float(norm.running_var.mean()) for norm in norms if norm.running_var is not None]
            module(x + NOISE_SCALE * noise)
        delta = float((maps[0] - maps[1]).abs().sum()) / setting.batch
        if delta == 0.0:
            raise ValueError("the feature maps before the global pool do not depend on the input")
        score = math.log(delta) + sum(math.log(variance) / 2 for variance in variances if variance > 0)
        if not math.isfinite(score):
            raise ArithmeticError("the feature maps before the global pool are not finite")
        return score


def _norms_obstacle(network: Network, positions: Iterable[int]) -> str:
    """Return why the norms among some layers leave a network without a score; "" if they do not."""
    for node in (network.nodes[k] for k in positions):
        if not is_batch_norm(node) and (layer_kind(node) == "norm" or calls_functions(node, "norm")):
            return f"it restores the scale that batch norms remove, and {node.name} is another norm"
    return ""


def _last_map_position(network: Network) -> int:
    """Return the position of the input of the global pool, or of the last map, such as (C, H, W), if there is no pool.

    The walk back from the output follows the first input of every node. The gate of a product is its second input.
    """
    nodes, at, found = network.nodes, network.output, -1
    while at >= 0:
        if is_global_pool(nodes[at]):
            found = nodes[at].inputs[0]
            break
        found = at if found < 0 and len(nodes[at].out_shape) > 1 else found
        at = nodes[at].inputs[0]
    if found < 0:
        raise ValueError("the network has no feature maps")
    return found


def _dependencies(network: Network, last: int) -> list[int]:
    """Return the positions of the nodes that a node depends on, including its own."""
    found = {last}
    for k in range(last, -1, -1):
        found |= set(network.nodes[k].inputs) if k in found else set()
    return sorted(found - {-1})


def _draw_inputs(shape: tuple[int, ...], seed: int, device: str) -> tuple[Tensor, Tensor]:
    """Draw x and e, each of `shape[1:]`, from N(0, 1)."""
    first, second = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(device)
    if first.ndim == 4:  # convolutions on CPUs are a third faster in this memory format
        return first.to(memory_format=torch.channels_last), second.to(memory_format=torch.channels_last)
    return first, second

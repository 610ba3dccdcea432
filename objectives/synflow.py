"""SynFlow: data-free synaptic saliency of the untrained weights."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasctl.api import (
    Candidate,
    Direction,
    HSigmoid,
    HSwish,
    Multiply,
    Network,
    ReLU6,
    Sigmoid,
    Swish,
    Transform,
    only_maps,
)

__all__ = ["SynFlow"]

# Modules treated as the identity. A ReLU is the identity on a non-negative signal.
IDENTITY_MODULES = (nn.BatchNorm2d, nn.ReLU, nn.ReLU6, nn.Hardswish, nn.SiLU, nn.Sigmoid, nn.Hardsigmoid)
NONLINEAR = (ReLU6, HSwish, Swish, Sigmoid, HSigmoid, Multiply)  # layers that would change a non-negative signal


class SynFlow:
    """Base-10 logarithm of ``sum |w * dR/dw|`` over the weights of convolutions and linear layers.

    R is the sum of the network's outputs for one example of ones. Every weight is replaced by its magnitude, and batch
    norms are bypassed. The score needs no data. The logarithm keeps the ranking. The sum grows by orders of magnitude
    with depth, so it is also computed in double precision.

    Differences from the papers, which consider networks of ReLUs: biases are left out, so that R is homogeneous in
    every layer. Activations other than ReLU (ReLU6, h-swish, swish, sigmoids) are treated as the identity, and the
    gates of squeeze-and-excitation as 1, because they would make R nonlinear. A weight on no path to the output, such
    as a weight of a gate, adds nothing. Other modules of plug-ins run unchanged on the magnitudes of their parameters,
    and their own weights add nothing.

    References:
        Tanaka et al., "Pruning neural networks without any data by iteratively conserving synaptic flow", NeurIPS 2020,
        arXiv:2006.05467, equations 1 and 2.
        Abdelfattah et al., "Zero-cost proxies for lightweight NAS", ICLR 2021, arXiv:2101.08134.
    """

    unit = "log10"
    direction: Direction = "max"
    transform: Transform = "identity"
    needs = frozenset({"module"})  # the shared pass has other weights, another input and another precision
    version = "1"
    inapplicable_reason = staticmethod(only_maps)

    def remarks(self, space: str, example: Network) -> list[str]:
        """Return a remark that lists the layers treated as the identity or as 1, if the search space has any."""
        changed = sorted({type(node.layer).__name__ for node in example.nodes if isinstance(node.layer, NONLINEAR)})
        return [f"treats activations as the identity and gates as 1 ({', '.join(changed)})"] if changed else []

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: No path leads from the input to the output, so the score would be minus infinity, or the network
                takes tokens.
            ArithmeticError: The sum is too large for double precision.
        """
        if candidate.input.kind != "images":
            raise ValueError("synflow feeds the network an image of ones, but the network takes tokens")
        ones = torch.ones(1, *candidate.input.shape, dtype=torch.double, device=candidate.setting.device)
        score = _saliency_sum(candidate.scored, list(candidate.module().children()), ones)
        if score == 0.0:
            raise ValueError("no path leads from the input to the output")
        if not math.isfinite(score):
            raise ArithmeticError("the signal is not finite")
        return math.log10(score)


def _saliency_sum(network: Network, modules: list[nn.Module], ones: Tensor) -> float:
    """Return ``sum |w * dR/dw|``.

    For a layer y = w x with non-negative w and x, the sum over its weights equals the sum of y * dR/dy. No gradients of
    weights are needed.
    """
    sources = [node.inputs[:1] if isinstance(node.layer, Multiply) else node.inputs for node in network.nodes]
    live = {network.output}
    for k in reversed(range(len(sources))):
        live |= set(sources[k]) if k in live else set()
    values, weighted = {-1: ones.requires_grad_()}, []
    for k in sorted(live - {-1}):
        module, inputs = modules[k], [values[source] for source in sources[k]]
        if isinstance(module, IDENTITY_MODULES) or isinstance(network.nodes[k].layer, Multiply):
            values[k] = inputs[0]
        elif isinstance(module, nn.Conv2d | nn.Linear):
            values[k] = _apply_without_bias(module, inputs[0], module.weight.detach().abs().double())
            weighted.append(values[k])
        else:
            for parameter in module.parameters():
                parameter.data.abs_()
            values[k] = module.double()(*inputs)
    if not weighted:
        return 0.0
    signals = torch.autograd.grad(values[network.output].sum(), weighted, allow_unused=True)
    terms = zip(weighted, signals, strict=True)
    return sum(float((y.detach() * signal).sum()) for y, signal in terms if signal is not None)


def _apply_without_bias(module: nn.Conv2d | nn.Linear, x: Tensor, weight: Tensor) -> Tensor:
    """Apply a layer without its bias."""
    if isinstance(module, nn.Linear):
        return F.linear(x, weight)
    square = all(len(set(pair)) == 1 for pair in (module.kernel_size, module.stride, module.padding))
    if square and module.dilation == (1, 1) and module.groups == module.in_channels == module.out_channels > 1:
        return _depthwise(x, weight, module.stride[0], int(module.padding[0]))
    out: Tensor = module._conv_forward(x, weight, None)
    return out


def _depthwise(x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """Compute a depthwise convolution as products with banded matrices.

    PyTorch convolves double precision on CPUs one group at a time, which took most of this metric's time.

    Args:
        x: Input, (B, C, H, W).
        weight: Kernels, (C, 1, k, k).
        stride: Stride in both directions.
        padding: Zero padding on all sides.
    """
    batch, channels, _, width = x.shape
    taps = weight.shape[-1]
    out_width = (width + 2 * padding - taps) // stride + 1
    tap, source, target = (torch.arange(size, device=x.device) for size in (taps, width, out_width))
    reached = source[:, None] == target * stride + tap[:, None, None] - padding  # (k, W, W')
    bands = weight.view(channels * taps, taps) @ reached.view(taps, -1).to(x.dtype)  # one band per kernel row
    rows = F.pad(x, (0, 0, padding, padding)).unfold(2, taps, stride)  # (B, C, H', W, k)
    rows = rows.permute(1, 0, 2, 4, 3).reshape(channels, -1, taps * width)  # (C, B H', k W)
    out = rows @ bands.view(channels, taps * width, out_width)
    return out.view(channels, batch, -1, out_width).transpose(0, 1)

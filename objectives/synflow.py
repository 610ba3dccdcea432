"""SynFlow: how much of a signal the untrained weights carry from input to output."""

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

# Taken as the identity, which a ReLU is on the non-negative signal anyway.
PASSED = (nn.BatchNorm2d, nn.ReLU, nn.ReLU6, nn.Hardswish, nn.SiLU, nn.Sigmoid, nn.Hardsigmoid)
BENT = (ReLU6, HSwish, Swish, Sigmoid, HSigmoid, Multiply)  # the layers where that changes the signal


class SynFlow:
    """The logarithm, to base 10, of ``sum |w * dR/dw|`` over the weights of convolutions and linear layers.

    R is what the network puts out in total when it is fed one example of ones, every weight is replaced by its
    magnitude and batch norms are bypassed. It needs no data. The logarithm keeps the order; the sum itself grows by
    orders of magnitude with depth, which is also why it is taken in double precision.

    Departures from the papers, which have networks of ReLUs in mind: biases are left out, so that R is homogeneous in
    every layer; activations that are not ReLUs (ReLU6, h-swish, swish, the sigmoids) are taken as the identity and the
    gates of squeeze-and-excitation as 1, because they would bend the signal. A weight that no path leads through, such
    as one of a gate, adds nothing. A plug-in's modules of other kinds run as they are, with
    magnitudes for parameters, and add nothing of their own.

    References:
        Tanaka et al., "Pruning neural networks without any data by iteratively conserving synaptic flow", NeurIPS 2020,
        arXiv:2006.05467, equations 1 and 2.
        Abdelfattah et al., "Zero-cost proxies for lightweight NAS", ICLR 2021, arXiv:2101.08134.
    """

    unit = "log10"
    direction: Direction = "max"
    transform: Transform = "identity"
    needs = frozenset({"module"})  # its pass is not the shared one: other weights, other input, other precision
    version = "1"
    inapplicable_reason = staticmethod(only_maps)

    def remarks(self, space: str, example: Network) -> list[str]:
        """What is taken as the identity, if the space has any of it."""
        bent = sorted({type(node.layer).__name__ for node in example.nodes if isinstance(node.layer, BENT)})
        return [f"takes activations as the identity and gates as 1 ({', '.join(bent)})"] if bent else []

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: No signal gets through, so the score would be minus infinity; or the network takes tokens.
            ArithmeticError: The score is too large for double precision.
        """
        if candidate.input.kind != "images":
            raise ValueError("synflow feeds a network with ones, which tokens cannot be")
        ones = torch.ones(1, *candidate.input.shape, dtype=torch.double, device=candidate.setting.device)
        score = _flow(candidate.scored, list(candidate.module().children()), ones)
        if score == 0.0:
            raise ValueError("no path leads from the input to the output")
        if not math.isfinite(score):
            raise ArithmeticError("the signal is not finite")
        return math.log10(score)


def _flow(network: Network, parts: list[nn.Module], ones: Tensor) -> float:
    """``sum |w * dR/dw|``.

    Of a layer y = w x, all of it non-negative, the sum is that of y * dR/dy, which spares the gradients of the weights.
    """
    sources = [node.inputs[:1] if isinstance(node.layer, Multiply) else node.inputs for node in network.nodes]
    live = {network.output}
    for k in reversed(range(len(sources))):
        live |= set(sources[k]) if k in live else set()
    values, weighted = {-1: ones.requires_grad_()}, []
    for k in sorted(live - {-1}):
        part, inputs = parts[k], [values[source] for source in sources[k]]
        if isinstance(part, PASSED) or isinstance(network.nodes[k].layer, Multiply):
            values[k] = inputs[0]
        elif isinstance(part, nn.Conv2d | nn.Linear):
            values[k] = _product(part, inputs[0], part.weight.detach().abs().double())
            weighted.append(values[k])
        else:
            for parameter in part.parameters():
                parameter.data.abs_()
            values[k] = part.double()(*inputs)
    if not weighted:
        return 0.0
    signals = torch.autograd.grad(values[network.output].sum(), weighted, allow_unused=True)
    terms = zip(weighted, signals, strict=True)
    return sum(float((y.detach() * signal).sum()) for y, signal in terms if signal is not None)


def _product(part: nn.Conv2d | nn.Linear, x: Tensor, weight: Tensor) -> Tensor:
    """The layer without its bias."""
    if isinstance(part, nn.Linear):
        return F.linear(x, weight)
    square = all(len(set(pair)) == 1 for pair in (part.kernel_size, part.stride, part.padding))
    if square and part.dilation == (1, 1) and part.groups == part.in_channels == part.out_channels > 1:
        return _depthwise(x, weight, part.stride[0], int(part.padding[0]))
    out: Tensor = part._conv_forward(x, weight, None)
    return out


def _depthwise(x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """A depthwise convolution as products with banded matrices.

    PyTorch convolves double precision on CPUs one group at a time, which took most of this metric's time.

    Args:
        x: (B, C, H, W).
        weight: (C, 1, k, k).
        stride: In both directions.
        padding: On all sides.
    """
    batch, channels, _, width = x.shape
    taps = weight.shape[-1]
    out_width = (width + 2 * padding - taps) // stride + 1
    tap, source, target = (torch.arange(size, device=x.device) for size in (taps, width, out_width))
    reached = source[:, None] == target * stride + tap[:, None, None] - padding  # (k, W, W')
    bands = weight.view(channels * taps, taps) @ reached.view(taps, -1).to(x.dtype)  # a row of the kernel at a time
    rows = F.pad(x, (0, 0, padding, padding)).unfold(2, taps, stride)  # (B, C, H', W, k)
    rows = rows.permute(1, 0, 2, 4, 3).reshape(channels, -1, taps * width)  # (C, B H', k W)
    out = rows @ bands.view(channels, taps * width, out_width)
    return out.view(channels, batch, -1, out_width).transpose(0, 1)

"""The gradients of a layer's weights for each example, from the layer's inputs and the gradient of its output."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from nasctl.networks.layer_kinds import is_custom


def example_gradients(
    part: nn.Module, names: Sequence[str], inputs: tuple[Tensor, ...], slopes: Tensor
) -> dict[str, Tensor]:
    """Return the gradients of some weights of a layer for each example, (B, P), by name.

    Args:
        part: The layer.
        names: The names of the weights, relative to the layer.
        inputs: The inputs of the layer, (B, ...) each.
        slopes: The gradient of the output of the layer, (B, ...).
    """
    if is_custom(part) or len(names) > 1:
        return _one_by_one(part, names, inputs, slopes)
    if isinstance(part, nn.Conv2d):
        return {"weight": _kernel_gradients(part, inputs[0], slopes)}
    if isinstance(part, nn.Linear):
        rows, columns = (one.reshape(len(slopes), -1, one.shape[-1]) for one in (slopes, inputs[0]))
        return {"weight": (rows.transpose(1, 2) @ columns).flatten(1)}
    if isinstance(part, _ConvNd):
        return {"weight": _mapped(part, inputs[0], slopes)}
    return _one_by_one(part, names, inputs, slopes)


def _kernel_gradients(part: nn.Conv2d, x: Tensor, slopes: Tensor) -> Tensor:
    """Return the gradient of a convolution's weights for each example, (B, P).

    There are three ways, whose times on CPUs differ by factors of ten; the fastest one is taken.

    Args:
        part: The convolution.
        x: The input of the convolution, (B, C, H, W).
        slopes: The gradient of the output of the convolution, (B, C', H', W').
    """
    batch, channels = x.shape[:2]
    zeros = part.padding_mode == "zeros" and not isinstance(part.padding, str)
    if zeros and part.groups == channels == slopes.shape[1]:
        # The gradient of a depthwise kernel is a convolution of the input with the slopes as its kernel.
        one, kernels = x.reshape(1, -1, *x.shape[2:]), slopes.reshape(-1, 1, *slopes.shape[2:])
        found = F.conv2d(one, kernels, None, part.dilation, part.padding, part.stride, batch * channels)
        height, width = part.kernel_size
        return found[..., :height, :width].reshape(batch, -1)  # a stride may leave values over beyond the kernel
    if zeros and part.groups == 1 and (part.kernel_size == (1, 1) or slopes[0, 0].numel() <= channels):
        assert not isinstance(part.padding, str)
        alone = part.kernel_size == part.stride == (1, 1) and part.padding == (0, 0)  # every pixel is a window
        # (B, C k k, H' W')
        windows = x.flatten(2) if alone else F.unfold(x, part.kernel_size, part.dilation, part.padding, part.stride)
        return (slopes.flatten(2) @ windows.transpose(1, 2)).flatten(1)

    def one_example(x: Tensor, slopes: Tensor) -> Tensor:
        found = torch.func.vjp(lambda weight: part._conv_forward(x[None], weight, None), part.weight)
        gradient: Tensor = found[1](slopes[None])[0]
        return gradient.flatten()

    return torch.func.vmap(one_example)(x, slopes)


def _mapped(part: _ConvNd, x: Tensor, slopes: Tensor) -> Tensor:
    """Return the gradient of the weights of any convolution for each example, (B, P)."""

    def one_example(x: Tensor, slopes: Tensor) -> Tensor:
        found = torch.func.vjp(
            lambda weight: torch.func.functional_call(part, {"weight": weight}, x[None]), part.weight
        )
        gradient: Tensor = found[1](slopes[None])[0]
        return gradient.flatten()

    return torch.func.vmap(one_example)(x, slopes)


def _one_by_one(part: nn.Module, names: Sequence[str], inputs: tuple[Tensor, ...], slopes: Tensor) -> dict[str, Tensor]:
    """Return the gradients of any layer's weights for each example, (B, P), by running the layer on single examples."""
    weights = [part.get_parameter(name) for name in names]
    found: list[list[Tensor]] = [[] for _ in names]
    for weight in weights:
        weight.requires_grad_()
    with torch.enable_grad():
        for k, slope in enumerate(slopes):
            output = part(*(x[k : k + 1] for x in inputs))
            gradients = torch.autograd.grad(output, weights, slope[None], materialize_grads=True)
            for rows, gradient in zip(found, gradients, strict=True):
                rows.append(gradient.flatten())
    for weight in weights:
        weight.requires_grad_(False)
    return {name: torch.stack(rows) for name, rows in zip(names, found, strict=True)}

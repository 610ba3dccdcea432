"""Gradients of single examples of a batch, layer by layer, from one forward and one backward pass."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from nasctl.candidates.shared_pass import WEIGHTED

Target = Literal["loss", "logits", "target"]

CHUNK = 1 << 16  # weights that are converted to float64 at once


class LayerCall(NamedTuple):
    """The input and the output of a layer in one forward pass."""

    name: str
    part: nn.Module
    inputs: Tensor  # (B, ...), detached from the autograd graph
    outputs: Tensor  # (B, ...)


class PerSampleGradients:
    """The gradients of each example of a batch with respect to the weights of a module.

    Batch norms normalise by the statistics of the whole batch, as in training, but the statistics are constants of the
    differentiation. So the outputs are the outputs of training, and every example still has a gradient of its own. This
    departs from the papers whose metrics use it: TE-NAS and HNAS differentiate through the statistics, so that an
    example's gradient depends on the other examples, and GradSign runs batches of one example, so that every example is
    normalised by itself.

    For each example, the gradient of a layer's weights follows from the layer's input and from the gradient of its
    output. One backward pass gives the gradients of the outputs for all examples and layers. So the gradients of only
    one layer's weights are in memory at a time, whereas `torch.func` with a copy of all weights for each example holds
    the gradients of all layers.

    Args:
        module: The module, in training mode. The pass changes it, so use it for nothing else. No layer but batch norms
            may mix examples.
        images: (B, ...).
        labels: (B,).
        running: Whether batch norms use their running statistics in place of the statistics of the batch.

    Raises:
        ArithmeticError: The outputs of the module are not finite.
    """

    def __init__(self, module: nn.Module, images: Tensor, labels: Tensor, running: bool = False) -> None:
        self._labels, self._calls = labels, list[LayerCall]()
        module.requires_grad_(False)
        hooks = []
        for name, part in module.named_modules():
            if isinstance(part, (*WEIGHTED, _BatchNorm)):
                hooks.append(part.register_forward_hook(partial(_keep, self._calls, name)))
            if isinstance(part, _BatchNorm):
                part.eval()
                if not running:
                    hooks.append(part.register_forward_pre_hook(_measure))
        if images.ndim == 4:  # convolutions make this layout a third faster on CPUs
            images = images.to(memory_format=torch.channels_last)
        self._logits: Tensor = module(images)
        for hook in hooks:
            hook.remove()
        if not torch.isfinite(self._logits).all():
            raise ArithmeticError("the outputs of the network are not finite")

    def gradients(self, of: Target, norms: bool = False) -> Iterator[tuple[str, Tensor]]:
        """Yield the gradients of all examples for the weights of one layer after another.

        Args:
            of: The differentiated quantity: "loss", an example's cross-entropy; "logits", the sum of its logits; or
                "target", the logit of its label.
            norms: Whether to include the weights of batch norms, beside those of convolutions and linear layers.

        Yields:
            The parameter's name and its gradients, (B, P), in the order of the parameter's flattened values. A
            parameter that the quantity does not depend on is left out.

        Raises:
            ArithmeticError: A gradient is not finite.
        """
        calls = [call for call in self._calls if norms or isinstance(call.part, WEIGHTED)]
        total = self._total(of)
        found = torch.autograd.grad(total, [call.outputs for call in calls], retain_graph=True, allow_unused=True)
        reached: dict[str, list[tuple[LayerCall, Tensor]]] = {}  # lists, because a layer may run more than once
        for call, slopes in zip(calls, found, strict=True):
            if slopes is not None and call.part.weight is not None:
                reached.setdefault(f"{call.name}.weight", []).append((call, slopes))
        for name, pairs in reached.items():
            if not all(torch.isfinite(slopes.sum()) for _, slopes in pairs):
                raise ArithmeticError("the gradients of the examples are not finite")
            first, *others = (_weight_gradients(call.part, call.inputs, slopes) for call, slopes in pairs)
            yield name, sum(others, start=first)

    def kernel(self, of: Target, norms: bool = False) -> Tensor:
        """Return the neural tangent kernel: inner products of the gradients of all pairs of examples, (B, B) float64.

        Args:
            of: The differentiated quantity; see `gradients`.
            norms: Whether to include the weights of batch norms.

        Raises:
            ArithmeticError: A gradient is not finite.
        """
        size = len(self._labels)
        products = torch.zeros(size, size, dtype=torch.double, device=self._labels.device)
        for _, gradients in self.gradients(of, norms):
            for some in torch.split(gradients, CHUNK, dim=1):
                exact = some.double()
                products += exact @ exact.T
        return products

    def _total(self, of: Target) -> Tensor:
        """Return the sum of the quantity over examples, which are independent: its gradient holds all gradients."""
        if of == "loss":
            return F.cross_entropy(self._logits, self._labels, reduction="sum")
        return (self._logits if of == "logits" else self._logits.gather(1, self._labels[:, None])).sum()


def _measure(part: nn.Module, inputs: tuple[Tensor]) -> None:
    """Give a batch norm in evaluation mode the statistics of the batch as its running statistics."""
    assert isinstance(part, _BatchNorm)
    # This kernel also normalises, and the result is thrown away: torch.var_mean alone takes ten times as long.
    x = inputs[0].detach()
    _, part.running_mean, inverse = torch.native_batch_norm(x, None, None, None, None, True, 0.0, part.eps)
    part.running_var = inverse**-2 - part.eps


def _keep(calls: list[LayerCall], name: str, part: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
    """Keep a call of a layer, as a forward hook."""
    output.requires_grad_()  # the graph begins at the first layer's output, because no weights require gradients
    calls.append(LayerCall(name, part, inputs[0].detach(), output))


def _weight_gradients(part: nn.Module, x: Tensor, slopes: Tensor) -> Tensor:
    """Return the gradient of a layer's weights for each example, (B, P).

    Args:
        part: A convolution, linear layer or batch norm.
        x: The input of the layer, (B, ...).
        slopes: The gradient of the output of the layer, (B, ...).
    """
    if isinstance(part, nn.Conv2d):
        return _kernel_gradients(part, x, slopes)
    if isinstance(part, nn.Linear):
        rows, columns = (one.reshape(len(x), -1, one.shape[-1]) for one in (slopes, x))
        return (rows.transpose(1, 2) @ columns).flatten(1)
    assert isinstance(part, _BatchNorm)
    normal = F.batch_norm(x, part.running_mean, part.running_var, eps=part.eps)
    return (slopes * normal).reshape(*x.shape[:2], -1).sum(2)


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

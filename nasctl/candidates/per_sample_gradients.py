"""Gradients of single examples of a batch, layer by layer, from one forward and one backward."""

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

CHUNK = 1 << 16  # weights that are taken to double precision at once


class LayerCall(NamedTuple):
    """What went through a layer when it ran."""

    name: str
    part: nn.Module
    inputs: Tensor  # (B, ...), off the graph
    outputs: Tensor  # (B, ...)


class PerSampleGradients:
    """A batch that went forward through a module, and how each of its examples depends on the weights.

    Batch norms normalise by the statistics of the whole batch, as in training, but take them for constants. So the
    outputs are those of training, and still every example has a gradient of its own. Of the papers whose metrics use
    this, TE-NAS and HNAS differentiate through the statistics, by which an example's gradient depends on the others,
    and GradSign runs batches of one, so that every example is normalised by itself.

    The gradient of a layer's weights follows for each example from what the layer took in and from the gradient of
    what it put out. One backward has the latter for all examples and layers at once, so no more than the gradients of
    one layer are in memory at a time; `torch.func` with a copy of all weights for each example holds them all.

    Args:
        module: In training mode; it is spent afterwards. Other layers than batch norms must keep examples apart.
        images: (B, ...).
        labels: (B,).
        running: Let batch norms use their running statistics instead.

    Raises:
        ArithmeticError: The module puts out what is not finite, so nothing of it can be trusted.
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
        if images.ndim == 4:  # a third faster on CPUs, by the convolutions
            images = images.to(memory_format=torch.channels_last)
        self._logits: Tensor = module(images)
        for hook in hooks:
            hook.remove()
        if not torch.isfinite(self._logits).all():
            raise ArithmeticError("the outputs of the network are not finite")

    def gradients(self, of: Target, norms: bool = False) -> Iterator[tuple[str, Tensor]]:
        """The gradients of every example in the weights of one layer after another.

        Args:
            of: An example's own cross-entropy, the sum of its logits, or the logit of its label.
            norms: Whether the weights of batch norms count, beside those of convolutions and linear layers.

        Yields:
            The parameter's name and the gradients, (B, P), in the order of its own values; a parameter that nothing
            depends on is left out.

        Raises:
            ArithmeticError: A gradient is not finite.
        """
        calls = [call for call in self._calls if norms or isinstance(call.part, WEIGHTED)]
        total = self._total(of)
        found = torch.autograd.grad(total, [call.outputs for call in calls], retain_graph=True, allow_unused=True)
        reached: dict[str, list[tuple[LayerCall, Tensor]]] = {}  # a layer may have run more than once
        for call, slopes in zip(calls, found, strict=True):
            if slopes is not None and call.part.weight is not None:
                reached.setdefault(f"{call.name}.weight", []).append((call, slopes))
        for name, pairs in reached.items():
            if not all(torch.isfinite(slopes.sum()) for _, slopes in pairs):
                raise ArithmeticError("the gradients of the examples are not finite")
            first, *others = (_weighed(call.part, call.inputs, slopes) for call, slopes in pairs)
            yield name, sum(others, start=first)

    def kernel(self, of: Target, norms: bool = False) -> Tensor:
        """The neural tangent kernel: inner products of the gradients of all pairs of examples, (B, B) float64.

        Args:
            of: As of `gradients`.
            norms: As of `gradients`.

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
        """The sum over examples: they do not depend on one another, so its gradient holds those of all of them."""
        if of == "loss":
            return F.cross_entropy(self._logits, self._labels, reduction="sum")
        return (self._logits if of == "logits" else self._logits.gather(1, self._labels[:, None])).sum()


def _measure(part: nn.Module, inputs: tuple[Tensor]) -> None:
    """Give a batch norm that does not train the statistics that it would have in training."""
    assert isinstance(part, _BatchNorm)
    # The kernel of training mode, though it normalises in vain: torch.var_mean takes ten times as long.
    x = inputs[0].detach()
    _, part.running_mean, inverse = torch.native_batch_norm(x, None, None, None, None, True, 0.0, part.eps)
    part.running_var = inverse**-2 - part.eps


def _keep(calls: list[LayerCall], name: str, part: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
    output.requires_grad_()  # of the first layer: nothing before it has to be differentiated
    calls.append(LayerCall(name, part, inputs[0].detach(), output))


def _weighed(part: nn.Module, x: Tensor, slopes: Tensor) -> Tensor:
    """The gradient of a part's weights for each example, (B, P).

    Args:
        part: A convolution, linear layer or batch norm.
        x: What it took in, (B, ...).
        slopes: The gradient of what it put out, (B, ...).
    """
    if isinstance(part, nn.Conv2d):
        return _convolved(part, x, slopes)
    if isinstance(part, nn.Linear):
        rows, columns = (one.reshape(len(x), -1, one.shape[-1]) for one in (slopes, x))
        return (rows.transpose(1, 2) @ columns).flatten(1)
    assert isinstance(part, _BatchNorm)
    normal = F.batch_norm(x, part.running_mean, part.running_var, eps=part.eps)
    return (slopes * normal).reshape(*x.shape[:2], -1).sum(2)


def _convolved(part: nn.Conv2d, x: Tensor, slopes: Tensor) -> Tensor:
    """As `_weighed`, by whichever of three ways is fastest on CPUs; they differ by factors of ten.

    Args:
        part: The convolution.
        x: (B, C, H, W).
        slopes: (B, C', H', W').
    """
    batch, channels = x.shape[:2]
    zeros = part.padding_mode == "zeros" and not isinstance(part.padding, str)
    if zeros and part.groups == channels == slopes.shape[1]:
        # The gradient of a depthwise kernel is a convolution too: the input's, with the slopes as its kernel.
        one, kernels = x.reshape(1, -1, *x.shape[2:]), slopes.reshape(-1, 1, *slopes.shape[2:])
        found = F.conv2d(one, kernels, None, part.dilation, part.padding, part.stride, batch * channels)
        height, width = part.kernel_size
        return found[..., :height, :width].reshape(batch, -1)  # beyond lies what a stride leaves over
    if zeros and part.groups == 1 and (part.kernel_size == (1, 1) or slopes[0, 0].numel() <= channels):
        assert not isinstance(part.padding, str)
        alone = part.kernel_size == part.stride == (1, 1) and part.padding == (0, 0)  # every pixel is its own window
        # (B, C k k, H' W')
        windows = x.flatten(2) if alone else F.unfold(x, part.kernel_size, part.dilation, part.padding, part.stride)
        return (slopes.flatten(2) @ windows.transpose(1, 2)).flatten(1)

    def one_example(x: Tensor, slopes: Tensor) -> Tensor:
        found = torch.func.vjp(lambda weight: part._conv_forward(x[None], weight, None), part.weight)
        gradient: Tensor = found[1](slopes[None])[0]
        return gradient.flatten()

    return torch.func.vmap(one_example)(x, slopes)

"""Gradients of single examples of a batch, layer by layer, from one forward and one backward pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from nasctl.candidates.example_mixing import MixingCheck
from nasctl.candidates.layer_gradients import example_gradients
from nasctl.networks.graph import Network
from nasctl.networks.layer_kinds import attention_layers, batch_norms, is_custom, layer_title
from nasctl.networks.torch_functions import custom_layers, weight_uses

Target = Literal["loss", "logits", "target"]

CHUNK = 1 << 16  # weights that are converted to float64 at once


class LayerCall(NamedTuple):
    """The inputs and the output of a layer in one forward pass."""

    path: str  # name of the layer
    part: nn.Module
    weights: Mapping[str, str]  # names of parameters by the names of its weights, relative to the layer
    inputs: tuple[Tensor, ...]  # (B, ...) each, detached from the autograd graph
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
        module: The module, in training mode. The pass changes it, so use it for nothing else.
        images: (B, ...).
        labels: (B,).
        running: Whether batch norms use their running statistics in place of the statistics of the batch.
        network: The network of the module, by which the weights of custom layers are found.

    Raises:
        ArithmeticError: The outputs of the module are not finite.
        ValueError: A layer other than a batch norm mixes examples or has no output for each example, or the weights of
            a layer cannot be found.
    """

    def __init__(
        self,
        module: nn.Module,
        images: Tensor,
        labels: Tensor,
        running: bool = False,
        network: Network | None = None,
    ) -> None:
        self._labels, self._calls = labels, list[LayerCall]()
        module.requires_grad_(False)
        owners = weight_owners(module, network)
        hooks = []
        for path, part in module.named_modules():
            weights = owners.get(path, {})
            if weights or isinstance(part, batch_norms()):
                hooks.append(part.register_forward_hook(partial(_keep, self._calls, path, weights)))
            if isinstance(part, batch_norms()):
                part.eval()
                if not running:
                    hooks.append(part.register_forward_pre_hook(_measure))
        if images.ndim == 4:  # convolutions make this layout a third faster on CPUs
            images = images.to(memory_format=torch.channels_last)
        mixing = MixingCheck(module)
        self._logits: Tensor = module(images)
        for hook in hooks:
            hook.remove()
        if not torch.isfinite(self._logits).all():
            raise ArithmeticError("the outputs of the network are not finite")
        mixing.check(module, images)
        for call in self._calls:
            if len(call.outputs) != len(images):
                raise ValueError(f"the outputs of {layer_title(call.path, call.part)} are not those of single examples")

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
        calls = [call for call in self._calls if call.weights or (norms and call.part.weight is not None)]
        if not calls:
            return
        outputs = [call.outputs for call in calls]
        found = torch.autograd.grad(self._total(of), outputs, retain_graph=True, allow_unused=True)
        reached: dict[str, list[tuple[LayerCall, Tensor]]] = {}  # lists, because a layer may run more than once
        for call, slopes in zip(calls, found, strict=True):
            if slopes is not None:
                reached.setdefault(call.path, []).append((call, slopes))
        left = Counter(name for pairs in reached.values() for name in pairs[0][0].weights.values())
        sums: dict[str, Tensor] = {}  # of parameters that further layers use
        for path, pairs in reached.items():
            if not all(torch.isfinite(slopes.sum()) for _, slopes in pairs):
                raise ArithmeticError("the gradients of the examples are not finite")
            first, *others = (_call_gradients(call, slopes) for call, slopes in pairs)
            for own, gradient in first.items():
                total = sum((other[own] for other in others), start=gradient)
                name = pairs[0][0].weights.get(own, f"{path}.{own}")
                left[name] -= 1
                total = total + sums.pop(name) if name in sums else total
                if left[name] > 0:
                    sums[name] = total
                else:
                    yield name, total

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
        if of != "logits" and self._logits.ndim != 2:
            raise ValueError("the network puts out logits at every place of an example")
        if of == "loss":
            return F.cross_entropy(self._logits, self._labels, reduction="sum")
        return (self._logits if of == "logits" else self._logits.gather(1, self._labels[:, None])).sum()


def weight_owners(module: nn.Module, network: Network | None) -> dict[str, dict[str, str]]:
    """Return the layers whose calls give the gradients of all weights.

    Most layers own their weights. Weights that are used inside a layer of attention, or by the functions of a custom
    layer, are those of that layer.

    Returns:
        By the layer's name, the name of each parameter by the name of the weight relative to the layer. A parameter of
        several layers has one name, that of `product_weights`.

    Raises:
        ValueError: The weights of a layer cannot be found.
    """
    names: dict[int, str] = {}
    found: dict[str, dict[str, str]] = {}
    for name, weight in weight_uses(module, custom_layers(module, network)):
        owner = name.rpartition(".")[0]
        parents = [".".join(owner.split(".")[:k]) for k in range(1, owner.count(".") + 1)]
        attention = next((one for one in parents if isinstance(module.get_submodule(one), attention_layers())), None)
        inside = attention or (owner.partition(".")[0] if is_custom(module.get_submodule(owner)) else owner)
        found.setdefault(inside, {})[name.removeprefix(f"{inside}.")] = names.setdefault(id(weight), name)
    return found


def _measure(part: nn.Module, inputs: tuple[Tensor]) -> None:
    """Give a batch norm in evaluation mode the statistics of the batch as its running statistics."""
    assert isinstance(part, _BatchNorm)
    # This kernel also normalises, and the result is thrown away: torch.var_mean alone takes ten times as long.
    x = inputs[0].detach()
    _, part.running_mean, inverse = torch.native_batch_norm(x, None, None, None, None, True, 0.0, part.eps)
    part.running_var = inverse**-2 - part.eps


def _keep(
    calls: list[LayerCall],
    path: str,
    weights: Mapping[str, str],
    part: nn.Module,
    inputs: tuple[Tensor, ...],
    output: Any,
) -> None:
    """Keep a call of a layer, as a forward hook."""
    if not isinstance(output, Tensor):
        raise ValueError(f"{layer_title(path, part)} returns several values, so its examples cannot be told apart")
    output.requires_grad_()  # the graph begins at the first layer's output, because no weights require gradients
    calls.append(LayerCall(path, part, weights, tuple(x.detach() for x in inputs), output))


def _call_gradients(call: LayerCall, slopes: Tensor) -> dict[str, Tensor]:
    """Return the gradients of a layer's weights for each example, (B, P), by name.

    Args:
        call: The call of the layer.
        slopes: The gradient of the output of the layer, (B, ...).
    """
    if call.weights:
        return example_gradients(call.part, [*call.weights], call.inputs, slopes)
    assert isinstance(call.part, _BatchNorm)
    part, x = call.part, call.inputs[0]
    normal = F.batch_norm(x, part.running_mean, part.running_var, eps=part.eps)
    return {"weight": (slopes * normal).reshape(*x.shape[:2], -1).sum(2)}

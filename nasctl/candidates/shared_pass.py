"""The pass over a module that most metrics share: one forward and up to two backward, for any number of objectives."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from nasctl.candidates.curvature import (
    PIECEWISE,
    TangentParabola,
    exact_hessian_times_weights,
    has_other_kinks,
    hessian_times_weights,
    note_piece,
    run_on_piece,
)
from nasctl.candidates.gradients import Weight, cross_entropy, module_loss, weight_gradients
from nasctl.candidates.rectifier_codes import RectifierCodes, unused
from nasctl.candidates.sign_codes import SignCodes
from nasctl.errors import without_traceback
from nasctl.networks.custom_calls import calls_functions
from nasctl.networks.graph import Network
from nasctl.networks.layer_kinds import convolutions, layer_title, module_kind
from nasctl.networks.node import Node
from nasctl.networks.torch_functions import custom_layers, product_weights

LOSS_NEEDS = {"gradients", "curvature", "saliences"}  # the needs that take a backward pass of the loss


class Salience(NamedTuple):
    """A layer's outputs times the gradient of the loss with respect to the outputs."""

    products: Tensor  # (B, C), summed over positions
    fan_in: int  # the number of weights of one channel


@dataclass(frozen=True, slots=True)
class SharedPass:
    """The results of the shared pass. A field that was not needed is None."""

    activations: Mapping[str, SignCodes] | None = None  # by the name of the rectifier
    gradients: Mapping[str, Weight] | None = None  # by the name of the parameter
    curvature: Mapping[str, Tensor] | None = None  # the Hessian-weight product, by the name of the parameter
    saliences: Mapping[str, Salience] | None = None  # by the name of the layer
    input_gradients: Tensor | None = None  # the gradient of the sum of all logits, in the shape of the batch
    failures: Mapping[str, Exception] = field(default_factory=dict)  # by the name of the needed field that failed


def shared_pass(
    module: nn.Module, examples: Tensor, labels: Tensor, needs: frozenset[str], network: Network | None = None
) -> SharedPass:
    """Run the module forward on the batch, and backward as far as the needs require.

    A result is the same to the last digit whatever else is needed, and only needed results are computed.

    Args:
        module: The module, in training mode, so that batch norms use the statistics of this batch. The pass changes it,
            so use it for nothing else.
        examples: (B, C, H, W) images, or (B, T) tokens.
        labels: (B,), or (B, T) if the module puts out logits at each place, (B, T, C).
        needs: The names of the fields of the result to fill. Other names are ignored.
        network: The network of the module, by which the weights of custom layers are found.

    Raises:
        ArithmeticError: The outputs of the module are not finite.
    """
    traced, failures = "input_gradients" in needs, dict[str, Exception]()
    custom = custom_layers(module, network) if needs & LOSS_NEEDS else {}
    weights: Mapping[str, Tensor] = {}
    try:
        weights = product_weights(module, custom) if needs & LOSS_NEEDS else {}
    except ValueError as failure:
        failures, needs = dict.fromkeys(needs & LOSS_NEEDS, without_traceback(failure)), needs - LOSS_NEEDS
    module.requires_grad_(False)
    for weight in weights.values():
        weight.requires_grad_()
    recorder = ForwardRecorder(module, needs, network)
    if examples.ndim == 4:  # convolutions make this layout a third faster on CPUs
        examples = examples.to(memory_format=torch.channels_last)
    examples = examples.detach().requires_grad_(traced)  # a new tensor, because other passes share the batch
    logits = module(examples)
    if not torch.isfinite(logits).all():
        raise ArithmeticError("the outputs of the network are not finite")
    recorder.close()
    found, failed = _backward(recorder, weights, examples, logits, labels, needs)
    failures |= failed
    if "curvature" in needs and "gradients" not in failures:
        try:
            again_at = partial(module_loss, module, examples.detach(), labels)
            found["curvature"] = _curvature(recorder, again_at, weights, found["gradients"], custom)
        except Exception as failure:
            failures["curvature"] = without_traceback(failure)
    return SharedPass(**found, failures=failures)


def _curvature(
    recorder: ForwardRecorder,
    loss: Callable[[], Tensor],
    weights: Mapping[str, Tensor],
    gradients: Mapping[str, Weight],
    custom: Mapping[str, Node],
) -> dict[str, Tensor]:
    """Return the product of the loss's Hessian and the weights, by the cheaper way that is right for the module."""
    if recorder.other_kinks or any(calls_functions(node, "rectifier") for node in custom.values()):
        return exact_hessian_times_weights(loss, weights)
    for part, pieces in recorder.pieces.items():
        part.forward = partial(run_on_piece, pieces)
    return hessian_times_weights(loss, weights, gradients)


def _backward(
    recorder: ForwardRecorder,
    weights: Mapping[str, Tensor],
    examples: Tensor,
    logits: Tensor,
    labels: Tensor,
    needs: frozenset[str],
) -> tuple[dict[str, Any], dict[str, Exception]]:
    """Return the fields that backward passes fill, and the errors of fields that failed.

    An error spoils its own field and nothing else, so that no value depends on the other needs.
    """
    found: dict[str, Any] = {"activations": recorder.rectifiers.codes} if recorder.rectifiers else {}
    failures: dict[str, Exception] = {}
    if recorder.rectifiers and recorder.rectifiers.failure:
        failures["activations"] = recorder.rectifiers.failure
    if "input_gradients" in needs:
        try:
            (found["input_gradients"],) = torch.autograd.grad(
                logits.sum(), examples, retain_graph=True, materialize_grads=True
            )
        except Exception as failure:
            failures["input_gradients"] = without_traceback(failure)
    if not needs & LOSS_NEEDS:
        return found, failures
    watched = dict[str, Salience]()
    if "saliences" in needs:
        try:
            watched = recorder.watched(weights, len(examples))
        except ValueError as failure:
            failures["saliences"] = without_traceback(failure)
    try:
        found["gradients"] = weight_gradients(cross_entropy(logits, labels), weights)
    except Exception as failure:
        return found, failures | dict.fromkeys(LOSS_NEEDS, without_traceback(failure))
    wanted = "saliences" in needs and "saliences" not in failures
    return found | ({"saliences": watched} if wanted else {}), failures


class ForwardRecorder:
    """Hooks on a module that record facts about its layers during one forward pass.

    A layer may run more than once, and every run is recorded.

    Args:
        module: The module to record.
        needs: The needs of `shared_pass`, which decide what is recorded.
        network: The network of the module.
    """

    def __init__(self, module: nn.Module, needs: frozenset[str], network: Network | None = None) -> None:
        self.rectifiers = RectifierCodes(module, network) if "activations" in needs else None
        self.pieces: dict[nn.Module, deque[TangentParabola]] = {}
        self.other_kinks = "curvature" in needs and has_other_kinks(module)
        self._module = module
        self._outputs: list[tuple[str, nn.Module, Tensor]] = []
        self._hooks = []
        for name, part in module.named_modules():
            if "saliences" in needs and module_kind(part) in ("convolution", "linear"):
                self._hooks.append(part.register_forward_hook(partial(_keep, self._outputs, name)))
            if "curvature" in needs and not self.other_kinks and isinstance(part, PIECEWISE):
                self._hooks.append(part.register_forward_hook(partial(note_piece, self.pieces)))

    def close(self) -> None:
        """Remove the hooks, so that nothing more is recorded."""
        for hook in self._hooks:
            hook.remove()
        if self.rectifiers:
            self.rectifiers.close()

    def watched(self, weights: Mapping[str, Tensor], batch: int) -> dict[str, Salience]:
        """Return saliences of the recorded outputs, by layer; the next backward pass fills the mapping.

        Args:
            weights: All parameters that are multiplied with activations, by name.
            batch: The number of examples.

        Raises:
            ValueError: A layer holds several of these weights, so that their outputs are not to be seen, or has outputs
                of another number of examples.
        """
        called = {name for name, _, _ in self._outputs}
        for name in weights:
            path = name.rpartition(".")[0]
            part = self._module.get_submodule(path)
            if path not in called and (name != f"{path}.weight" or module_kind(part) not in ("convolution", "linear")):
                raise ValueError(f"the outputs of the products inside {layer_title(path, part)} cannot be observed")
        for name, layer, output in self._outputs:
            if len(output) != batch:
                raise ValueError(f"the outputs of {layer_title(name, layer)} are not those of single examples")
        found: dict[str, Salience] = {}
        for name, layer, output in self._outputs:
            output.register_hook(partial(_weigh, found, name, layer, output.detach()))  # type: ignore[no-untyped-call]
        return found


def _keep(
    outputs: list[tuple[str, nn.Module, Tensor]], name: str, part: nn.Module, inputs: object, output: Tensor
) -> None:
    """Keep the output of a layer, as a forward hook."""
    outputs.append((name, part, output))


def _weigh(found: dict[str, Salience], name: str, part: nn.Module, output: Tensor, gradient: Tensor) -> None:
    """Keep the salience of a layer's output, as a hook on the gradient of the output."""
    channels = 1 if isinstance(part, convolutions()) else -1  # a linear layer has its channels last, after positions
    terms = (output * gradient.detach()).movedim(channels, 1)
    products = terms.reshape(*terms.shape[:2], -1).sum(2)
    fan_in = part.get_parameter("weight").numel() // terms.shape[1]
    found[unused(name, found)] = Salience(products, fan_in)

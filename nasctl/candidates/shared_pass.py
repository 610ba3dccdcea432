"""The pass over a module that most metrics share: one forward and up to two backward, for any number of objectives."""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, count
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from nasctl.candidates.curvature import PIECEWISE, TangentParabola, hessian_times_weights, note_piece, run_on_piece
from nasctl.candidates.gradients import Weight, cross_entropy, module_loss, weight_gradients
from nasctl.candidates.sign_codes import SignCodes
from nasctl.errors import without_traceback

WeightedLayer = nn.Conv2d | nn.Linear  # the layers whose weights metrics read

WEIGHTED = (nn.Conv2d, nn.Linear)  # the members of `WeightedLayer`

# The activations whose units are on or off by the sign of the input.
RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.Hardswish, nn.SiLU, nn.GELU)

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


def shared_pass(module: nn.Module, examples: Tensor, labels: Tensor, needs: frozenset[str]) -> SharedPass:
    """Run the module forward on the batch, and backward as far as the needs require.

    A result is the same to the last digit whatever else is needed, and only needed results are computed.

    Args:
        module: The module, in training mode, so that batch norms use the statistics of this batch. The pass changes it,
            so use it for nothing else.
        examples: (B, C, H, W) images, or (B, T) tokens.
        labels: (B,), or (B, T) if the module puts out logits at each place, (B, T, C).
        needs: The names of the fields of the result to fill. Other names are ignored.

    Raises:
        ArithmeticError: The outputs of the module are not finite.
    """
    weighed, traced = bool(needs & LOSS_NEEDS), "input_gradients" in needs
    layers = {name: part for name, part in module.named_modules() if isinstance(part, WEIGHTED)}
    weights = {f"{name}.weight": layer.weight for name, layer in layers.items()} if weighed else {}
    module.requires_grad_(False)
    for weight in weights.values():
        weight.requires_grad_()
    recorder = ForwardRecorder(module, needs)
    if examples.ndim == 4:  # convolutions make this layout a third faster on CPUs
        examples = examples.to(memory_format=torch.channels_last)
    examples = examples.detach().requires_grad_(traced)  # a new tensor, because other passes share the batch
    logits = module(examples)
    if not torch.isfinite(logits).all():
        raise ArithmeticError("the outputs of the network are not finite")
    recorder.close()
    found, failures = _backward(recorder, weights, examples, logits, labels, needs)
    if "curvature" in needs and "gradients" not in failures:
        for part, pieces in recorder.pieces.items():
            part.forward = partial(run_on_piece, pieces)
        try:
            again_at = partial(module_loss, module, examples.detach(), labels)
            found["curvature"] = hessian_times_weights(again_at, weights, found["gradients"])
        except Exception as failure:
            failures["curvature"] = without_traceback(failure)
    return SharedPass(**found, failures=failures)


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
    found: dict[str, Any] = {"activations": recorder.codes} if "activations" in needs else {}
    failures: dict[str, Exception] = {}
    if "input_gradients" in needs:
        try:
            (found["input_gradients"],) = torch.autograd.grad(
                logits.sum(), examples, retain_graph=True, materialize_grads=True
            )
        except Exception as failure:
            failures["input_gradients"] = without_traceback(failure)
    if not needs & LOSS_NEEDS:
        return found, failures
    watched = recorder.watched()
    try:
        found["gradients"] = weight_gradients(cross_entropy(logits, labels), weights)
    except Exception as failure:
        return found, failures | dict.fromkeys(LOSS_NEEDS, without_traceback(failure))
    return found | ({"saliences": watched} if "saliences" in needs else {}), failures


class ForwardRecorder:
    """Hooks on a module that record facts about its layers during one forward pass.

    A layer may run more than once, and every run is recorded.

    Args:
        module: The module to record.
        needs: The needs of `shared_pass`, which decide what is recorded.
    """

    def __init__(self, module: nn.Module, needs: frozenset[str]) -> None:
        self.codes: dict[str, SignCodes] = {}
        self.pieces: dict[nn.Module, deque[TangentParabola]] = {}
        self._outputs: list[tuple[str, WeightedLayer, Tensor]] = []
        self._hooks = []
        for name, part in module.named_modules():
            if "activations" in needs and isinstance(part, RECTIFIERS):
                # The hook reads the input, because the output may overwrite it, and has other signs (h-swish).
                self._hooks.append(part.register_forward_pre_hook(partial(_record_signs, self.codes, name)))
            if "saliences" in needs and isinstance(part, WEIGHTED):
                self._hooks.append(part.register_forward_hook(partial(_keep, self._outputs, name)))
            if "curvature" in needs and isinstance(part, PIECEWISE):
                self._hooks.append(part.register_forward_hook(partial(note_piece, self.pieces)))

    def close(self) -> None:
        """Remove the hooks, so that nothing more is recorded."""
        for hook in self._hooks:
            hook.remove()

    def watched(self) -> Mapping[str, Salience]:
        """Return saliences of the recorded outputs, by layer; the next backward pass fills the mapping."""
        found: dict[str, Salience] = {}
        for name, layer, output in self._outputs:
            output.register_hook(partial(_weigh, found, name, layer, output.detach()))  # type: ignore[no-untyped-call]
        return found


def _keep(
    outputs: list[tuple[str, WeightedLayer, Tensor]], name: str, part: WeightedLayer, inputs: object, output: Tensor
) -> None:
    """Keep the output of a layer, as a forward hook."""
    outputs.append((name, part, output))


def _weigh(found: dict[str, Salience], name: str, part: WeightedLayer, output: Tensor, gradient: Tensor) -> None:
    """Keep the salience of a layer's output, as a hook on the gradient of the output."""
    channels = -1 if isinstance(part, nn.Linear) else 1  # a linear layer has its channels last, after all positions
    terms = (output * gradient.detach()).movedim(channels, 1)
    products = terms.reshape(*terms.shape[:2], -1).sum(2)
    found[_unused(name, found)] = Salience(products, part.weight[0].numel())


def _unused(name: str, names: Container[str]) -> str:
    """Return the name if it is unused, else the name with "#2" and so on."""
    return next(one for one in chain([name], (f"{name}#{k}" for k in count(2))) if one not in names)


def _record_signs(codes: dict[str, SignCodes], name: str, part: nn.Module, inputs: tuple[Tensor]) -> None:
    """Keep the signs of a rectifier's input, as a hook before its forward pass."""
    codes[_unused(name, codes)] = SignCodes.of(inputs[0].detach())

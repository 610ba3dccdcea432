"""The pass over a module that metrics share: one forward and up to two backward, however many objectives there are."""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, count
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from nasctl.candidates.curvature import BENT, TangentParabola, hessian_times_weights, note_piece, run_on_piece
from nasctl.candidates.gradients import Weight, cross_entropy, module_loss, weight_gradients
from nasctl.candidates.sign_codes import SignCodes
from nasctl.errors import without_traceback

WeightedLayer = nn.Conv2d | nn.Linear  # what metrics of weights are about

WEIGHTED = (nn.Conv2d, nn.Linear)

# Whose units are on or off by the sign of what comes in.
RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.Hardswish, nn.SiLU, nn.GELU)

OF_THE_LOSS = {"gradients", "curvature", "saliences"}  # needs of a backward pass of the loss


class Salience(NamedTuple):
    """A layer's outputs times the gradient of the loss with respect to them."""

    products: Tensor  # (B, C), summed over positions
    fan_in: int  # weights that make one channel


@dataclass(frozen=True, slots=True)
class SharedPass:
    """What the shared pass left behind; None is what nobody needed."""

    activations: Mapping[str, SignCodes] | None = None  # by the name of the rectifier
    gradients: Mapping[str, Weight] | None = None  # by the name of the parameter
    curvature: Mapping[str, Tensor] | None = None  # the Hessian times the weights, by the name of the parameter
    saliences: Mapping[str, Salience] | None = None  # by the name of the layer
    input_gradients: Tensor | None = None  # of the sum of all logits, in the shape of the batch
    failures: Mapping[str, Exception] = field(default_factory=dict)  # by what there is none of, though it was needed


def shared_pass(module: nn.Module, examples: Tensor, labels: Tensor, needs: frozenset[str]) -> SharedPass:
    """Run the module forward on the batch and backward as far as anyone needs it.

    What is not needed is not computed, and leaves the rest as it is to the last digit.

    Args:
        module: In training mode, so that batch norms use the statistics of this batch; it is spent afterwards.
        examples: (B, C, H, W) images, or (B, T) tokens.
        labels: (B,), or (B, T) where the module puts out logits at each place, (B, T, C).
        needs: Which fields of the evidence to fill.

    Raises:
        ArithmeticError: The module puts out what is not finite, so nothing of it can be trusted.
    """
    weighed, traced = bool(needs & OF_THE_LOSS), "input_gradients" in needs
    layers = {name: part for name, part in module.named_modules() if isinstance(part, WEIGHTED)}
    weights = {f"{name}.weight": layer.weight for name, layer in layers.items()} if weighed else {}
    module.requires_grad_(False)
    for weight in weights.values():
        weight.requires_grad_()
    notes = Notes(module, needs)
    if examples.ndim == 4:  # a third faster on CPUs, by the convolutions
        examples = examples.to(memory_format=torch.channels_last)
    examples = examples.detach().requires_grad_(traced)  # the caller's batch stays as it is
    logits = module(examples)
    if not torch.isfinite(logits).all():
        raise ArithmeticError("the outputs of the network are not finite")
    notes.close()
    found, failures = _backward(notes, weights, examples, logits, labels, needs)
    if "curvature" in needs and "gradients" not in failures:
        for part, pieces in notes.pieces.items():
            part.forward = partial(run_on_piece, pieces)
        try:
            again_at = partial(module_loss, module, examples.detach(), labels)
            found["curvature"] = hessian_times_weights(again_at, weights, found["gradients"])
        except Exception as failure:
            failures["curvature"] = without_traceback(failure)
    return SharedPass(**found, failures=failures)


def _backward(
    notes: Notes,
    weights: Mapping[str, Tensor],
    examples: Tensor,
    logits: Tensor,
    labels: Tensor,
    needs: frozenset[str],
) -> tuple[dict[str, Any], dict[str, Exception]]:
    """Fields of the evidence that backward passes fill, and what went wrong.

    That spoils what it is about and nothing else, so that no value depends on what else is asked for.
    """
    found: dict[str, Any] = {"activations": notes.codes} if "activations" in needs else {}
    failures: dict[str, Exception] = {}
    if "input_gradients" in needs:
        try:
            (found["input_gradients"],) = torch.autograd.grad(
                logits.sum(), examples, retain_graph=True, materialize_grads=True
            )
        except Exception as failure:
            failures["input_gradients"] = without_traceback(failure)
    if not needs & OF_THE_LOSS:
        return found, failures
    watched = notes.watched()
    try:
        found["gradients"] = weight_gradients(cross_entropy(logits, labels), weights)
    except Exception as failure:
        return found, failures | dict.fromkeys(OF_THE_LOSS, without_traceback(failure))
    return found | ({"saliences": watched} if "saliences" in needs else {}), failures


class Notes:
    """What is noted of one forward pass while it runs, by hooks on the parts of the module.

    A part may run more than once: each time counts.
    """

    def __init__(self, module: nn.Module, needs: frozenset[str]) -> None:
        self.codes: dict[str, SignCodes] = {}
        self.pieces: dict[nn.Module, deque[TangentParabola]] = {}
        self._outputs: list[tuple[str, WeightedLayer, Tensor]] = []
        self._hooks = []
        for name, part in module.named_modules():
            if "activations" in needs and isinstance(part, RECTIFIERS):
                # On what comes in: what goes out may have overwritten it, and says less (h-swish).
                self._hooks.append(part.register_forward_pre_hook(partial(_note, self.codes, name)))
            if "saliences" in needs and isinstance(part, WEIGHTED):
                self._hooks.append(part.register_forward_hook(partial(_keep, self._outputs, name)))
            if "curvature" in needs and isinstance(part, BENT):
                self._hooks.append(part.register_forward_hook(partial(note_piece, self.pieces)))

    def close(self) -> None:
        """Note nothing more."""
        for hook in self._hooks:
            hook.remove()

    def watched(self) -> Mapping[str, Salience]:
        """How the loss depends on the outputs that were noted; filled by the backward pass that comes next."""
        found: dict[str, Salience] = {}
        for name, layer, output in self._outputs:
            output.register_hook(partial(_weigh, found, name, layer, output.detach()))  # type: ignore[no-untyped-call]
        return found


def _keep(
    outputs: list[tuple[str, WeightedLayer, Tensor]], name: str, part: WeightedLayer, inputs: object, output: Tensor
) -> None:
    outputs.append((name, part, output))


def _weigh(found: dict[str, Salience], name: str, part: WeightedLayer, output: Tensor, gradient: Tensor) -> None:
    channels = -1 if isinstance(part, nn.Linear) else 1  # which a linear layer has last, behind all positions
    terms = (output * gradient.detach()).movedim(channels, 1)
    products = terms.reshape(*terms.shape[:2], -1).sum(2)
    found[_unused(name, found)] = Salience(products, part.weight[0].numel())


def _unused(name: str, names: Container[str]) -> str:
    """The name, or one for the second time, and so on."""
    return next(one for one in chain([name], (f"{name}#{k}" for k in count(2))) if one not in names)


def _note(codes: dict[str, SignCodes], name: str, part: nn.Module, inputs: tuple[Tensor]) -> None:
    codes[_unused(name, codes)] = SignCodes.of(inputs[0].detach())

"""The product of the loss's Hessian and the weights."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from nasctl.candidates.gradients import Weight, weight_gradients
from nasctl.networks.layer_kinds import activations

# The activations whose graphs consist of pieces, without a second derivative at the borders of the pieces.
PIECEWISE = (nn.ReLU, nn.ReLU6, nn.Hardswish, nn.Hardsigmoid)

# The activations without a kink in their graph or their first derivative.
SMOOTH = (nn.GELU, nn.SiLU, nn.Mish, nn.Softplus, nn.Sigmoid, nn.LogSigmoid, nn.Tanh, nn.Softsign, nn.Tanhshrink)


def has_other_kinks(module: nn.Module) -> bool:
    """Return whether a module has activations with kinks that are not held to their pieces here, such as LeakyReLU."""
    known = (*PIECEWISE, *SMOOTH)
    return any(isinstance(part, activations()) and not isinstance(part, known) for part in module.modules())


def hessian_times_weights(
    loss: Callable[[], Tensor], weights: Mapping[str, Tensor], gradients: Mapping[str, Weight]
) -> dict[str, Tensor]:
    """Return the product of the loss's Hessian and the weights: the change of the gradient as all weights grow alike.

    It is the difference of two gradients, one of which exists already, and takes a quarter of the time of
    differentiating twice. Rectifiers stay on the piece of their graph that they were on, because a unit that switches
    has no second derivative. The relative step is the usual one, the square root of the machine epsilon.

    Args:
        loss: Computes the loss with the present values of the weights.
        weights: The parameters by name. They change during the call and have their values again afterwards.
        gradients: The gradients of the loss, by the same names.

    Returns:
        The product by name, each in the shape of the weight.
    """
    values = {name: weight.detach().clone() for name, weight in weights.items()}
    steps = {name: torch.finfo(weight.dtype).eps ** 0.5 for name, weight in weights.items()}
    for name, weight in weights.items():
        weight.detach().mul_(1 + steps[name])
    more = weight_gradients(loss(), weights)
    for name, weight in weights.items():
        weight.detach().copy_(values[name])
    return {name: (one.gradient - gradients[name].gradient) / steps[name] for name, one in more.items()}


def exact_hessian_times_weights(loss: Callable[[], Tensor], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the product of the loss's Hessian and the weights by differentiating twice, which is right for any module.

    Args:
        loss: Computes the loss with the present values of the weights.
        weights: The parameters by name.

    Returns:
        The product by name, each in the shape of the weight; weights that the loss does not depend on are left out.
    """
    slopes = torch.autograd.grad(loss(), [*weights.values()], create_graph=True, allow_unused=True)
    reached = {name: slope for name, slope in zip(weights, slopes, strict=True) if slope is not None}
    along = sum((slope * weights[name].detach()).sum() for name, slope in reached.items())
    if not isinstance(along, Tensor) or not along.requires_grad:
        return {name: torch.zeros_like(slope) for name, slope in reached.items()}
    products = torch.autograd.grad(along, [weights[name] for name in reached], materialize_grads=True)
    return dict(zip(reached, products, strict=True))


class TangentParabola:
    """The tangent parabola of an activation's graph at its input; for a piecewise linear one, the line of the piece.

    Args:
        part: The activation, one of `PIECEWISE`.
        x: Its input.
        y: Its output for that input.
    """

    def __init__(self, part: nn.Module, x: Tensor, y: Tensor) -> None:
        self._x, self._y, self._bend = x, y, torch.zeros(())
        self._line = isinstance(part, nn.ReLU)  # through the origin, so the sign of the input is enough
        if isinstance(part, nn.ReLU6):
            self._slope = ((x > 0) & (x < 6)).to(x.dtype)
        elif isinstance(part, nn.Hardsigmoid):
            self._slope = (x.abs() < 3).to(x.dtype) / 6
        elif isinstance(part, nn.Hardswish):
            self._slope = torch.where(x.abs() < 3, (2 * x + 3) / 6, (x > 0).to(x.dtype))
            self._bend = (x.abs() < 3).to(x.dtype) / 3

    def __call__(self, x: Tensor) -> Tensor:
        if self._line:
            passed: Tensor = torch.ops.aten.threshold_backward(x, self._x, 0.0)  # x where the first input is above 0
            return passed
        change = x - self._x
        return self._y + change * (self._slope + change * self._bend / 2)


def note_piece(
    pieces: dict[nn.Module, deque[TangentParabola]], part: nn.Module, inputs: tuple[Tensor], output: Tensor
) -> None:
    """Keep the parabola of an activation that has just run, as a forward hook."""
    pieces.setdefault(part, deque()).append(TangentParabola(part, inputs[0].detach(), output.detach()))


def run_on_piece(pieces: deque[TangentParabola], x: Tensor) -> Tensor:
    """Return the value of an activation's next parabola at `x`. After the last parabola comes the first again."""
    piece = pieces[0]
    pieces.rotate(-1)
    return piece(x)

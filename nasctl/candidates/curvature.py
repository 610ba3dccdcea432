"""The product of the loss's Hessian with the weights."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from nasctl.candidates.gradients import Weight, weight_gradients

BENT = (nn.ReLU, nn.ReLU6, nn.Hardswish, nn.Hardsigmoid)  # that have no second derivative where their pieces meet


def hessian_times_weights(
    loss: Callable[[], Tensor], weights: Mapping[str, Tensor], gradients: Mapping[str, Weight]
) -> dict[str, Tensor]:
    """The Hessian of the loss times the weights: how the gradient changes as all of them grow by one factor.

    It is the difference of two gradients, of which one is there, and so takes a quarter of what differentiating twice
    does. Rectifiers are held to the piece of their graph that they are on: a unit that switches has no second
    derivative. The factor is the usual one for such a difference, the root of what the precision resolves.
    """
    values = {name: weight.detach().clone() for name, weight in weights.items()}
    steps = {name: torch.finfo(weight.dtype).eps ** 0.5 for name, weight in weights.items()}
    for name, weight in weights.items():
        weight.detach().mul_(1 + steps[name])
    more = weight_gradients(loss(), weights)
    for name, weight in weights.items():
        weight.detach().copy_(values[name])
    return {name: (one.gradient - gradients[name].gradient) / steps[name] for name, one in more.items()}


class TangentParabola:
    """The parabola that touches a rectifier's graph at what came in, to stand for it nearby.

    Of a rectifier that is linear in pieces it is the line of the piece.
    """

    def __init__(self, part: nn.Module, x: Tensor, y: Tensor) -> None:
        self._x, self._y, self._bend = x, y, torch.zeros(())
        self._line = isinstance(part, nn.ReLU)  # through 0, so nothing else has to be known of it
        if isinstance(part, nn.ReLU6):
            self._slope = ((x > 0) & (x < 6)).to(x.dtype)
        elif isinstance(part, nn.Hardsigmoid):
            self._slope = (x.abs() < 3).to(x.dtype) / 6
        elif isinstance(part, nn.Hardswish):
            self._slope = torch.where(x.abs() < 3, (2 * x + 3) / 6, (x > 0).to(x.dtype))
            self._bend = (x.abs() < 3).to(x.dtype) / 3

    def __call__(self, x: Tensor) -> Tensor:
        if self._line:
            passed: Tensor = torch.ops.aten.threshold_backward(x, self._x, 0.0)  # x where what came in is above 0
            return passed
        change = x - self._x
        return self._y + change * (self._slope + change * self._bend / 2)


def note_piece(
    pieces: dict[nn.Module, deque[TangentParabola]], part: nn.Module, inputs: tuple[Tensor], output: Tensor
) -> None:
    pieces.setdefault(part, deque()).append(TangentParabola(part, inputs[0].detach(), output.detach()))


def run_on_piece(pieces: deque[TangentParabola], x: Tensor) -> Tensor:
    """What the rectifier's next piece puts out; the next pass begins with the first again."""
    piece = pieces[0]
    pieces.rotate(-1)
    return piece(x)

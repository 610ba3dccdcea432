"""Differentiable architecture search: softmax factors of mixed choices, learned by gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from nasctl.api import BadOption, Pass, StepBatch, StepNetworks, StrategyContext
from nasctl.supernets.strategies._alphas import gradients
from nasctl.supernets.strategies._mixing import MixedChoices

__all__ = ["DifferentiableSearch"]

REACH = 0.01  # norm of the change of the weights in the difference quotient of order 2; the authors' value

SMALLEST_NORM = 1e-12  # of a gradient, so that the change is finite


class DifferentiableSearch(MixedChoices):
    """Train the mixture of all choices, and learn the softmax factors of the choices of each gene by gradients.

    In each step, half of the batch changes the parameters of choices, and the other half the weights. With `order=2`
    the gradient for choices is that of the loss after a step of the weights. Its second term is a difference quotient
    of gradients.

    With `select=perturbation`, genes are decided one by one in the last third of the steps, by the loss without each
    choice (DARTS-PT). Parameters of choices are fixed then. The schedule of the learning rate goes on, while the
    authors begin anew at a tenth of the rate; the last third of a cosine has 0.09 of the first rate on average.

    Otherwise the genome that is chosen has the choice with the largest parameter of each gene. In NAS-Bench-201 this
    may be `none`, as in its authors' code. In the space `darts`, which inputs a node reads is a gene of its own here,
    while the authors keep the two inputs with the strongest operations.

    Departures: the step of `order=2` has no momentum and no weight decay, and norms have gains and shifts.

    Args:
        order: 1, or 2 for the gradient through a step of the weights.
        rate: Learning rate of the parameters of choices.
        decay: Weight decay of the parameters of choices.
        inner_rate: Size of the step of the weights that `order=2` looks through; the learning rate of the weights.
        select: "argmax" or "perturbation".
        fixed: Keep equal factors of all choices, so that the perturbation alone decides (Blank-PT).

    References:
        Liu et al., "DARTS: Differentiable architecture search", ICLR 2019, arXiv:1806.09055, algorithm 1 and equations
        7 and 8; `cnn/architect.py` of github.com/quark0/darts. Wang et al., "Rethinking architecture selection in
        differentiable NAS" (DARTS-PT), ICLR 2021, arXiv:2108.04392.
    """

    def __init__(
        self,
        context: StrategyContext,
        order: int = 1,
        rate: float = 3e-4,
        decay: float = 1e-3,
        inner_rate: float = 0.025,
        select: str = "argmax",
        fixed: bool = False,
    ) -> None:
        if order not in (1, 2) or not inner_rate > 0:
            raise BadOption(
                f"Cannot use darts with order={order},inner_rate={inner_rate:g}. Give order=1 or 2, and a positive"
                " inner_rate."
            )
        if fixed and select != "perturbation":
            raise BadOption(
                "Cannot use darts with fixed=yes and select=argmax: equal factors choose nothing. Give"
                " select=perturbation."
            )
        super().__init__(context, "darts", rate, decay, select, fixed)
        self._order, self._inner_rate = order, inner_rate

    def losses(self, step: int, passes: Sequence[Pass], batch: StepBatch, networks: StepNetworks) -> Iterator[Tensor]:
        own, other = batch.halves()
        if (loss := self.settled_loss(step, own, other, networks)) is not None:
            yield loss
            return
        rng, like = self._context.rng(step), own.inputs()[0]
        leaves = self.alphas.leaves()
        if self._order == 1:
            factors = self.factors(leaves, step, rng, like)
            found = gradients(self.mixed(networks, factors, other, frozen=True), leaves)
        else:
            found = self._unrolled(leaves, lambda: self.factors(leaves, step, rng, like), own, other, networks)
        leaves = self.alphas.updated(found, other.size, networks)
        yield self.mixed(networks, self.factors(leaves, step, rng, like), own)

    def _unrolled(
        self,
        leaves: Sequence[Tensor],
        factors: Callable[[], dict[int, Tensor]],
        own: StepBatch,
        other: StepBatch,
        networks: StepNetworks,
    ) -> Sequence[Tensor | None]:
        """Return the gradient for choices of the loss after a step of the weights.

        Args:
            leaves: The parameters of choices.
            factors: Returns their factors.
            own: The examples that the weights learn from.
            other: The examples that the choices learn from.
            networks: The networks of the step.
        """
        weights = list(networks.tensors().values())
        before = [one.detach().clone() for one in weights]
        ends = []
        try:
            inner = gradients(self.mixed(networks, factors(), own), weights)
            _move(weights, _mean(inner, own.size, networks), -self._inner_rate)
            direct = gradients(self.mixed(networks, factors(), other), [*leaves, *weights])
            outer = _mean(direct[len(leaves) :], other.size, networks)
            norm = float(torch.cat([one.flatten() for one in outer if one is not None]).norm())
            reach = REACH / max(norm, SMALLEST_NORM)
            for sign in (1, -1):
                _restore(weights, before)
                _move(weights, outer, sign * reach)
                ends.append(gradients(self.mixed(networks, factors(), own, frozen=True), leaves))
        finally:
            _restore(weights, before)
        scale = self._inner_rate / (2 * reach)
        return [
            None if one is None or plus is None or minus is None else one - scale * (plus - minus)
            for one, plus, minus in zip(direct, *ends, strict=False)
        ]


def _mean(own: Sequence[Tensor | None], size: int, networks: StepNetworks) -> list[Tensor | None]:
    """Return the mean of gradients over all processes, weighted by the numbers of their examples."""
    parts = [one for one in own if one is not None]
    flat = torch.cat([*(one.flatten() * size for one in parts), parts[0].new_tensor([float(size)])])
    total = networks.gathered(flat[None]).sum(0)
    means = iter(torch.split(total[:-1] / total[-1], [one.numel() for one in parts]))
    return [None if one is None else next(means).view_as(one) for one in own]


@torch.no_grad()
def _move(weights: Sequence[Tensor], directions: Sequence[Tensor | None], scale: float) -> None:
    """Add multiples of directions to weights in place."""
    for one, direction in zip(weights, directions, strict=True):
        if direction is not None:
            one.add_(direction, alpha=scale)


@torch.no_grad()
def _restore(weights: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    """Give weights earlier values."""
    for one, value in zip(weights, values, strict=True):
        one.copy_(value)

"""Label-gradient alignment: whether a network, trained for some steps, treats examples of a class alike."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from nasctl.api import BadOption, Candidate, Direction, Network, Transform, only_classes

__all__ = ["LGA"]

EPS = 1e-6  # what spreads less than this share of the kernel is rounding: gradients are single precision
FOLLOW = 0.5  # momentum of the running statistics
MOMENTUM = 0.9


class LGA:
    """The cosine between the neural tangent kernel and the kernel of the labels, both less their means.

    The kernel holds the inner products of the gradients of examples, that of the sum of their logits in the weights of
    convolutions and linear layers; the labels' holds 1 for two examples of a class and -1 for others; (B, B) both.
    Before it is taken the network is trained: stochastic gradient descent with momentum 0.9, the cross-entropy of a
    batch in each step, from the initial weights of all metrics. The kernel is that of the first of those batches.

    Labels have to mean something: on data without any, where they are drawn, it says how well noise is fitted. And it
    is a metric of trained networks: the few steps of the default bring out its cost rather than its worth.

    Departures: the paper trains for epochs. With so few steps the running statistics of batch norms, which the trained
    network uses, would still be those of its beginning, so they follow with a momentum of 0.5 in place of 0.1.

    References:
        Mok, Na, Kim, Han and Yoon, "Demystifying the neural tangent kernel from a practical perspective: Can it be
        trusted for neural architecture search without training?", CVPR 2022, arXiv:2203.14577. Its formula is as others
        restate it.

    Args:
        steps: Of training.
        rate: Of learning.
    """

    unit = "cosine"
    direction: Direction = "max"
    transform: Transform = "identity"
    needs = frozenset({"module"})  # its own, because the samples of others are of an untrained one
    version = "1"
    inapplicable_reason = staticmethod(only_classes)

    def __init__(self, steps: int = 8, rate: float = 0.1) -> None:
        if not 1 <= steps <= 10_000 or not 0 < rate <= 100:
            raise BadOption(f"lga trains for steps=1 to 10,000 at a rate up to 100, not steps={steps},rate={rate}")
        self._steps, self._rate = steps, rate

    def remarks(self, space: str, example: Network) -> list[str]:
        """What its labels have to be, and a warning: what training adds comes later than a search can wait for."""
        return [
            "labels have to mean something: those of dead leaves and noise are drawn; give images with --data",
            "it wants epochs of training: after a few steps it orders nb201's cells the wrong way, see docs/metrics.md",
        ]

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: All pairs of examples are alike in their gradients, as where no path leads to the output, or in
                their labels: the cosine is of nothing.
            ArithmeticError: Training diverged, or a gradient is not finite.
        """
        module = candidate.module()
        for part in module.modules():
            if isinstance(part, _BatchNorm):
                part.momentum = FOLLOW
        momenta = [torch.zeros_like(weight) for weight in module.parameters()]
        for place in range(self._steps):
            _step(module, *candidate.batch(place), momenta, self._rate)
        _, labels = candidate.batch()
        kernel = candidate.samples_of(module, running=True).kernel("logits")
        alike = (labels[:, None] == labels).double() * 2 - 1
        spread, wanted = kernel - kernel.mean(), alike - alike.mean()
        if spread.norm() <= EPS * kernel.norm() or not wanted.any():
            raise ValueError("no alignment: all examples are alike in their gradients, or in their labels")
        return float((spread * wanted).sum() / (spread.norm() * wanted.norm()))


def _step(module: nn.Module, images: Tensor, labels: Tensor, momenta: list[Tensor], rate: float) -> None:
    """Descend by one batch; an optimiser of torch's would take seconds to be imported."""
    weights = list(module.parameters())
    loss = F.cross_entropy(module(images), labels)
    slopes = torch.autograd.grad(loss, weights, materialize_grads=True)
    for weight, momentum, slope in zip(weights, momenta, slopes, strict=True):
        weight.detach().sub_(momentum.mul_(MOMENTUM).add_(slope), alpha=rate)

"""Label-gradient alignment (LGA): alignment of the neural tangent kernel with the labels after a few training steps."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from nasctl.api import BadOption, Candidate, Direction, Network, Transform, only_classes, version_of_weights

__all__ = ["LGA"]

RELATIVE_TOLERANCE = 1e-6  # a kernel whose variation is below this share of its norm is constant up to float32 rounding
STATISTICS_MOMENTUM = 0.5  # momentum of the running statistics of batch norms
MOMENTUM = 0.9  # momentum of stochastic gradient descent


class LGA:
    """Cosine between the centred neural tangent kernel and the centred kernel of the labels.

    An entry of the tangent kernel, (B, B), is the inner product of the gradients of two examples. An example's gradient
    is the gradient of the sum of its logits with respect to the weights of convolutions and linear layers. An entry of
    the label kernel, (B, B), is 1 for two examples of the same class and -1 otherwise. The mean of each kernel is
    subtracted.

    The network is trained first: stochastic gradient descent with momentum 0.9 on the cross-entropy of one batch per
    step, from the initial weights that all metrics share. The kernel is computed on the first of these batches.

    Labels must be meaningful. With random labels, the score measures how well the network fits noise. The score is made
    for trained networks, so the few steps of the default show its cost rather than its quality.

    Differences from the paper: the paper trains for epochs. After a few steps, the running statistics of batch norms
    would still be close to their initial values, and the trained network uses them. Their momentum is therefore 0.5
    instead of 0.1.

    References:
        Mok, Na, Kim, Han and Yoon, "Demystifying the neural tangent kernel from a practical perspective: Can it be
        trusted for neural architecture search without training?", CVPR 2022, arXiv:2203.14577. The formula follows
        restatements in other papers.

    Args:
        steps: Training steps.
        rate: Learning rate.
    """

    unit = "cosine"
    direction: Direction = "max"
    transform: Transform = "identity"
    needs = frozenset({"module"})  # the shared per-sample gradients are those of the untrained module
    version = "1"
    version_on = version_of_weights
    inapplicable_reason = staticmethod(only_classes)

    def __init__(self, steps: int = 8, rate: float = 0.1) -> None:
        if not 1 <= steps <= 10_000 or not 0 < rate <= 100:
            raise BadOption(
                "steps must be 1 to 10,000 and rate must be above 0 and at most 100, "
                f"got steps={steps},rate={rate} (options of lga)"
            )
        self._steps, self._rate = steps, rate

    def remarks(self, space: str, example: Network) -> list[str]:
        """Return the requirement on the labels, and a warning that the default trains for too few steps."""
        return [
            "labels must be meaningful: dead_leaves and noise have random labels; give labelled images with --data",
            "the score needs epochs of training: after a few steps it may rank in reverse, see docs/metrics.md",
        ]

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: All pairs of examples have equal gradients, for example because no path leads to the output, or
                all examples have one label. The cosine is undefined.
            ArithmeticError: Training diverged, or a gradient is not finite.
        """
        module = candidate.module()
        for part in module.modules():
            if isinstance(part, _BatchNorm):
                part.momentum = STATISTICS_MOMENTUM
        momenta = [torch.zeros_like(weight) for weight in module.parameters()]
        for place in range(self._steps):
            _sgd_step(module, *candidate.batch(place), momenta, self._rate)
        _, labels = candidate.batch()
        kernel = candidate.samples_of(module, running=True).kernel("logits")
        same_class = (labels[:, None] == labels).double() * 2 - 1
        centred_kernel, centred_labels = kernel - kernel.mean(), same_class - same_class.mean()
        if centred_kernel.norm() <= RELATIVE_TOLERANCE * kernel.norm() or not centred_labels.any():
            raise ValueError("no alignment: all examples agree in their gradients, or in their labels")
        return float((centred_kernel * centred_labels).sum() / (centred_kernel.norm() * centred_labels.norm()))


def _sgd_step(module: nn.Module, images: Tensor, labels: Tensor, momenta: list[Tensor], rate: float) -> None:
    """Train on one batch. An optimiser of `torch.optim` would take seconds to import."""
    weights = list(module.parameters())
    loss = F.cross_entropy(module(images), labels)
    gradients = torch.autograd.grad(loss, weights, materialize_grads=True)
    for weight, momentum, gradient in zip(weights, momenta, gradients, strict=True):
        weight.detach().sub_(momentum.mul_(MOMENTUM).add_(gradient), alpha=rate)

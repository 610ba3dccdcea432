"""SynFlow: data-free synaptic saliency of the untrained weights."""

from __future__ import annotations

import math

import torch

from nasctl.api import (
    Candidate,
    Direction,
    HSigmoid,
    HSwish,
    Multiply,
    Network,
    ReLU6,
    Sigmoid,
    Swish,
    Transform,
    only_maps,
    version_of_layers,
)

__all__ = ["SynFlow"]

NONLINEAR = (ReLU6, HSwish, Swish, Sigmoid, HSigmoid, Multiply)  # layers that would change a non-negative signal


class SynFlow:
    """Base-10 logarithm of ``sum |w * dR/dw|`` over the weights of convolutions and linear layers.

    R is the sum of the network's outputs for one example of ones. Every weight is replaced by its magnitude, and norms
    of every kind are bypassed, so networks that differ only in their norms have the same score. The score needs no
    data. The logarithm keeps the ranking. The sum grows by orders of magnitude with depth, so it is also computed in
    double precision.

    Differences from the papers, which consider networks of ReLUs: biases are left out, so that R is homogeneous in
    every layer. Other activations (ReLU6, h-swish, swish, sigmoids) are treated as the identity, and the gates of
    squeeze-and-excitation as 1, because they would make R nonlinear. A weight on no path to the output, such as a
    weight of a gate, adds nothing. In a layer made of functions, such as `F.conv2d` and `F.layer_norm`, the functions
    are treated like the layers of the same names. A layer that is not linear then, such as a softmax, attention, or a
    recurrent layer, has no score.

    References:
        Tanaka et al., "Pruning neural networks without any data by iteratively conserving synaptic flow", NeurIPS 2020,
        arXiv:2006.05467, equations 1 and 2.
        Abdelfattah et al., "Zero-cost proxies for lightweight NAS", ICLR 2021, arXiv:2101.08134.
    """

    unit = "log10"
    direction: Direction = "max"
    transform: Transform = "identity"
    needs = frozenset({"module"})  # the shared pass has other weights, another input and another precision
    version = "1"
    version_on = version_of_layers
    inapplicable_reason = staticmethod(only_maps)

    def remarks(self, space: str, example: Network) -> list[str]:
        """Return a remark that lists the layers treated as the identity or as 1, if the search space has any."""
        changed = sorted({type(node.layer).__name__ for node in example.nodes if isinstance(node.layer, NONLINEAR)})
        return [f"treats activations as the identity and gates as 1 ({', '.join(changed)})"] if changed else []

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: No path leads from the input to the output, so the score would be minus infinity, the network
                takes tokens, or a layer is not linear.
            ArithmeticError: The sum is too large for double precision.
        """
        if candidate.input.kind != "images":
            raise ValueError("synflow feeds the network an image of ones, but the network takes tokens")
        ones = torch.ones(1, *candidate.input.shape, dtype=torch.double, device=candidate.setting.device)
        score = candidate.magnitude_flow(candidate.module(), ones)
        if score == 0.0:
            raise ValueError("no path leads from the input to the output")
        if not math.isfinite(score):
            raise ArithmeticError("the signal is not finite")
        return math.log10(score)

"""Fisher: estimated change of the loss when channels of an untrained network are removed."""

from __future__ import annotations

import math

from nasctl.api import Candidate, Direction, Transform, version_of_weights

__all__ = ["Fisher"]


class Fisher:
    """Sum of fan_in * D[c] over the output channels c of convolutions and linear layers.

    ``D[c] = 1/2 mean_n (sum_p a * dL/da)^2`` over the examples n of the batch and the positions p of the channel's
    output a. L is the mean loss of the batch. fan_in is the number of weights that produce one channel. Scores of
    different networks span orders of magnitude, so searchers see their logarithm.

    Differences from the papers, which sum D alone: the factor fan_in comes from Abdelfattah's code, which assigns every
    weight the score of its channel. Published correlations use that sum. A network whose loss depends on no weight has
    no score here, although the bias of its classifier would give it one.

    References:
        Theis et al., "Faster gaze prediction with dense networks and Fisher pruning", arXiv:1801.05787 (2018).
        Turner et al., "BlockSwap: Fisher-guided block substitution for network compression on a budget", ICLR 2020,
        arXiv:1906.04113, section 3.
        Abdelfattah et al., "Zero-cost proxies for lightweight NAS", ICLR 2021, arXiv:2101.08134.
    """

    unit = "nats^2"  # of the loss, squared
    direction: Direction = "max"
    transform: Transform = "log10"
    needs = frozenset({"gradients", "saliences"})
    version = "1"
    version_on = version_of_weights

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: The loss depends on no weight.
            ArithmeticError: A gradient is not finite.
        """
        if not any(weight.gradient.any() for weight in candidate.gradients.values()):
            raise ValueError("the loss depends on no weight")
        layers = candidate.saliences.values()
        score = sum(layer.fan_in * float(layer.products.double().square().mean(0).sum()) / 2 for layer in layers)
        if not math.isfinite(score):
            raise ArithmeticError("the gradients of the outputs of layers are not finite")
        return score

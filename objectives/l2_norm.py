"""L2 norm of the untrained weights."""

from __future__ import annotations

import torch

from nasctl.api import Candidate, Direction, Transform, version_of_weights

__all__ = ["L2Norm"]


class L2Norm:
    """Sum over convolutions and linear layers of the Euclidean norm of the initial weights, without biases.

    Convolutions of every kind count, and so do the projections of attention, the weights of recurrent layers, and
    parameters that a layer multiplies with activations by a function such as `F.conv2d`. The score depends only on the
    shapes of the layers, not on data or connections. With PyTorch's initial distribution the norm of a layer with O
    outputs is close to sqrt(O / 3). The score is a baseline for metrics that also use data and connections.

    References:
        Abdelfattah et al., "Zero-cost proxies for lightweight NAS", ICLR 2021, arXiv:2101.08134. The score is not in
        the paper but in `foresight/pruners/measures/l2_norm.py` of the authors' code,
        github.com/SamsungLabs/zero-cost-nas.
    """

    unit = ""
    direction: Direction = "max"
    transform: Transform = "identity"
    needs = frozenset({"module"})
    version = "1"
    version_on = version_of_weights

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: The network has no convolution and no linear layer, or the weights of a layer cannot be found.
        """
        weights = candidate.weights_of(candidate.module())
        if not weights:
            raise ValueError("the network has no convolution and no linear layer")
        return sum(float(torch.linalg.vector_norm(weight.detach(), dtype=torch.double)) for weight in weights.values())

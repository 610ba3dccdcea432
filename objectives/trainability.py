"""AZ-NAS trainability: preservation of gradient magnitudes by the blocks of an untrained network."""

from __future__ import annotations

from nasctl.api import Candidate, Direction, Transform, only_maps, version_of_blocks

__all__ = ["Trainability"]


class Trainability:
    """Mean over blocks of ``2 - s - 1 / (s + 1e-6)``, which is at most 0 and largest at s = 1.

    s is the largest singular value of an estimate of the block's Jacobian, ``G'^T G / (B H W)``. G, (B H W, C), holds
    random signs as gradients of the block's output. G' holds the resulting gradients of the previous block's output. If
    the previous output is k times as large, each k x k window of its positions counts as channels of one position.

    Differences from the released code (github.com/cvlab-yonsei/AZ-NAS): a size that k does not divide is padded with
    zeros, while the released code rejects it. An identity block is skipped, while it makes the released score minus
    infinity. Products and singular values are computed in double precision.

    References:
        Lee & Ham, "AZ-NAS: Assembling zero-cost proxies for network architecture search", CVPR 2024, arXiv:2403.19232,
        section 3.
    """

    unit = "1"
    direction: Direction = "max"
    transform: Transform = "identity"
    needs = frozenset({"features"})
    version = "2"
    version_on = version_of_blocks
    inapplicable_reason = staticmethod(only_maps)

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: No gradient passes from a block to the previous one, or the network has fewer than two blocks.
            ArithmeticError: The output of a block is not finite.
        """
        gains = candidate.features.gains
        if not gains:
            raise ValueError("the network has one block, but the score compares consecutive blocks")
        return sum(2 - gain - 1 / (gain + 1e-6) for gain in gains) / len(gains)

"""AZ-NAS's trainability: whether the blocks of an untrained network keep gradients as large as they are."""

from __future__ import annotations

from nasctl.api import Candidate, Direction, Transform, only_maps

__all__ = ["Trainability"]


class Trainability:
    """The mean over blocks of ``2 - s - 1 / (s + 1e-6)``, at most 0, which is at s = 1.

    s is the largest singular value of an estimate of the block's Jacobian: of ``G'^T G / (B H W)``, where G,
    (B H W, C), are random signs as gradients of the block's output and G' what they become at the output of the block
    before. Where that has k times the size, k x k of its positions count as channels of one.

    Departures: a size that k does not divide is filled up with zeros, which the released code
    (github.com/cvlab-yonsei/AZ-NAS) does not take; a block that is the identity is passed over, where there it makes
    the score minus infinity; products and singular values are in double precision.

    References:
        Lee & Ham, "AZ-NAS: Assembling zero-cost proxies for network architecture search", CVPR 2024, arXiv:2403.19232,
        section 3.
    """

    unit = "1"
    direction: Direction = "max"
    transform: Transform = "identity"
    needs = frozenset({"features"})
    version = "2"
    inapplicable_reason = staticmethod(only_maps)

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: No gradient passes from a block to the one before, or there are fewer than two blocks.
            ArithmeticError: What a block puts out is not finite.
        """
        gains = candidate.features.gains
        if not gains:
            raise ValueError("the network has one block, and nothing to compare it with")
        return sum(2 - gain - 1 / (gain + 1e-6) for gain in gains) / len(gains)

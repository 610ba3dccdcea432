"""AZ-NAS progressivity: growth of the feature entropy from block to block of an untrained network."""

from __future__ import annotations

from itertools import pairwise

from nasctl.api import Candidate, Direction, Transform, only_maps, version_of_blocks

__all__ = ["Progressivity"]


class Progressivity:
    """Smallest difference between the entropies of a block and the previous block.

    `expressivity` defines the entropies.

    Difference from the released code (github.com/cvlab-yonsei/AZ-NAS): an identity block has no output of its own here
    and is skipped, while its difference is 0 in the released code.

    References:
        Lee & Ham, "AZ-NAS: Assembling zero-cost proxies for network architecture search", CVPR 2024, arXiv:2403.19232,
        section 3.
    """

    unit = "nats"
    direction: Direction = "max"
    transform: Transform = "identity"
    needs = frozenset({"features"})
    version = "2"
    version_on = version_of_blocks
    inapplicable_reason = staticmethod(only_maps)

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: The output of a block is constant, or the network has fewer than two blocks.
            ArithmeticError: The output of a block is not finite.
        """
        entropies = candidate.features.entropies
        if len(entropies) < 2:
            raise ValueError("the network has one block, but the score compares consecutive blocks")
        return min(after - before for before, after in pairwise(entropies))

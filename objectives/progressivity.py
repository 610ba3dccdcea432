"""AZ-NAS's progressivity: whether every block of an untrained network widens what the one before put out."""

from __future__ import annotations

from itertools import pairwise

from nasctl.api import Candidate, Direction, Transform, only_maps

__all__ = ["Progressivity"]


class Progressivity:
    """The least difference between the entropies of a block and the one before, entropies as of `expressivity`.

    Departure: a block that is the identity has no output of its own here and is passed over; in the released code
    (github.com/cvlab-yonsei/AZ-NAS) its difference is 0.

    References:
        Lee & Ham, "AZ-NAS: Assembling zero-cost proxies for network architecture search", CVPR 2024, arXiv:2403.19232,
        section 3.
    """

    unit = "nats"
    direction: Direction = "max"
    transform: Transform = "identity"
    needs = frozenset({"features"})
    version = "2"
    inapplicable_reason = staticmethod(only_maps)

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: A block puts out the same everywhere, or there are fewer than two blocks.
            ArithmeticError: What a block puts out is not finite.
        """
        entropies = candidate.features.entropies
        if len(entropies) < 2:
            raise ValueError("the network has one block, and nothing to compare it with")
        return min(after - before for before, after in pairwise(entropies))

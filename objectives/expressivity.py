"""AZ-NAS's expressivity: how evenly the blocks of an untrained network use their channels."""

from __future__ import annotations

from nasctl.api import Candidate, Direction, Transform, only_maps

__all__ = ["Expressivity"]


class Expressivity:
    """The sum over blocks of the entropy of the principal components of what they put out for noise.

    Of a block's output, (B, C, H, W), all positions of all examples are rows; the eigenvalues of their covariance,
    (C, C), divided by their sum, are a distribution p with entropy ``-sum p log(p + 1e-8)``, at most log C.

    Departures: eigenvalues are found in double precision and cut off at 0, where the released code
    (github.com/cvlab-yonsei/AZ-NAS) has minus infinity for one that rounding made negative. A block that is the
    identity has no output of its own here, and adds nothing; there it repeats the one before. On mobile spaces that
    code takes what rectifiers put out, here it is what blocks do.

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
            ValueError: A block puts out the same everywhere, as where no path leads to it, or there are no blocks.
            ArithmeticError: What a block puts out is not finite.
        """
        return sum(candidate.features.entropies)

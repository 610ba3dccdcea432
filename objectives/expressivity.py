"""AZ-NAS expressivity: entropy of the channel variance of an untrained network's blocks."""

from __future__ import annotations

from nasctl.api import Candidate, Direction, Transform, only_maps, version_of_blocks

__all__ = ["Expressivity"]


class Expressivity:
    """Sum over blocks of the entropy of the principal components of their outputs for noise input.

    Each position of each example of a block's output, (B, C, H, W), is one row. The eigenvalues of the covariance of
    these rows, (C, C), divided by their sum, form a distribution p. Its entropy ``-sum p log(p + 1e-8)`` is at most log
    C.

    Differences from the released code (github.com/cvlab-yonsei/AZ-NAS): eigenvalues are computed in double precision
    and clipped at 0, while the released code returns minus infinity for an eigenvalue that rounding made negative. An
    identity block has no output of its own and adds nothing, while the released code repeats the entropy of the
    previous block. On mobile search spaces the released code reads the outputs of rectifiers, while this class reads
    the outputs of blocks.

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
            ValueError: The output of a block is constant, for example because no path leads to it, or the network has
                no blocks.
            ArithmeticError: The output of a block is not finite.
        """
        return sum(candidate.features.entropies)

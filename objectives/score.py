"""Score by a supernet whose strategy rates the choices of networks."""

from __future__ import annotations

from nasctl.api import Candidate, Direction, Network, SearchSpace, Transform
from nasctl.supernets.inherited_quality import InheritedQuality

__all__ = ["InheritedScore"]


class InheritedScore:
    """Score that a supernet's strategy gives to the candidate, such as the sum of `blockwise`, written `score@NAME`.

    Less is better. The score needs no module and no data, so all candidates are scored for free. It is a distance of
    block outputs and no loss: compare scores of one supernet alone.

    References:
        Li et al., "BossNAS: exploring hybrid CNN-transformers with block-wisely self-supervised neural architecture
        search", ICCV 2021, arXiv:2103.12424. Li et al., "Block-wisely supervised neural architecture search with
        knowledge distillation", CVPR 2020, arXiv:1911.13053.

    Args:
        supernet: Name of a supernet beside the store, or the path of its weights.
    """

    unit = "score"
    direction: Direction = "min"
    transform: Transform = "identity"
    needs = frozenset({"network"})

    def __init__(self, supernet: str) -> None:
        self._quality = InheritedQuality.of(supernet, 0, "score")
        self.label, self.version = self._quality.label, self._quality.version

    def wrong_space(self, space: SearchSpace) -> str:
        """Return why the supernet scores no networks of a space; "" if it does."""
        return self._quality.wrong_space(space)

    def remarks(self, space: str, example: Network) -> list[str]:
        """Return the origin of the scores."""
        return self._quality.remarks()

    def __call__(self, candidate: Candidate) -> float:
        """Return the score of the candidate.

        Raises:
            NasctlError: The candidate is of another space.
        """
        return self._quality(candidate)

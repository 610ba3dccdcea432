"""Loss with the weights of a trained supernet."""

from __future__ import annotations

from nasctl.api import Candidate, Direction, Network, SearchSpace, Transform
from nasctl.supernets.inherited_quality import DEFAULT_IMAGES, InheritedQuality

__all__ = ["InheritedLoss"]


class InheritedLoss:
    """Validation loss of the candidate with its slices of a trained supernet's weights, written `loss@NAME`.

    The loss is the mean cross-entropy of an example, or of a word. Batch-norm statistics are calibrated for each
    candidate, on examples that the supernet's file holds beside the validation examples. The loss varies less from
    image to image than whether an answer is right, so it ranks candidates better than the accuracy on few images.

    References:
        Yu et al., "BigNAS: Scaling up neural architecture search with big single-stage models", ECCV 2020,
        arXiv:2003.11142.

    Args:
        supernet: Name of a supernet beside the store, or the path of its weights.
        images: Validation images, or rows of words, that each candidate is evaluated on.
    """

    unit = "nats"
    direction: Direction = "min"
    transform: Transform = "identity"
    needs = frozenset({"network", "module"})

    def __init__(self, supernet: str, images: int = DEFAULT_IMAGES) -> None:
        self._quality = InheritedQuality.of(supernet, images, "loss")
        self.label, self.version = self._quality.label, self._quality.version
        self.shared_weights = self._quality.name

    def wrong_space(self, space: SearchSpace) -> str:
        """Return why the supernet has no weights for the networks of a space; "" if it has."""
        return self._quality.wrong_space(space)

    def remarks(self, space: str, example: Network) -> list[str]:
        """Return the origin of the weights and the number of validation examples."""
        return self._quality.remarks()

    def __call__(self, candidate: Candidate) -> float:
        """Return the validation loss of the candidate.

        Raises:
            NasctlError: The candidate is of another space.
            ArithmeticError: Training has not reached some of its weights.
        """
        return self._quality(candidate)

"""Number of trainable parameters."""

from __future__ import annotations

from nasctl.api import Candidate, Direction, Transform

__all__ = ["Params"]


class Params:
    """Weights, biases, and scales and shifts of normalisation layers, without running statistics."""

    unit = "parameters"
    direction: Direction = "min"
    transform: Transform = "identity"
    needs = frozenset({"network"})
    version = "1"
    monotone = True  # enlarging a layer never lowers the value

    def __call__(self, candidate: Candidate) -> float:
        """Return the number of trainable parameters."""
        return float(candidate.network.params)

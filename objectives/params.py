"""The number of trainable parameters."""

from __future__ import annotations

from nasctl.api import Candidate, Direction, Transform

__all__ = ["Params"]


class Params:
    """Weights, biases, and scales and shifts of normalisation; running statistics are none."""

    unit = "parameters"
    direction: Direction = "min"
    transform: Transform = "identity"
    needs = frozenset({"network"})
    version = "1"
    monotone = True  # a network in which no layer is smaller never has less

    def __call__(self, candidate: Candidate) -> float:
        """Count."""
        return float(candidate.network.params)

"""The number of multiply-accumulates for one example."""

from __future__ import annotations

from nasctl.api import Candidate, Direction, Transform

__all__ = ["MACs"]


class MACs:
    """What convolutions and matrix products multiply and add; half of the FLOPs that other tools count."""

    unit = "MACs"
    direction: Direction = "min"
    transform: Transform = "identity"
    needs = frozenset({"network"})
    version = "1"
    monotone = True  # a network in which no layer is smaller never has less

    def __call__(self, candidate: Candidate) -> float:
        """Count."""
        return float(candidate.network.macs)

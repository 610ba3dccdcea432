"""The peak of memory that activations take for one example."""

from __future__ import annotations

from nasctl.api import Candidate, Direction, Transform

__all__ = ["Memory"]


class Memory:
    """Bytes of the inputs and the output of a layer and all that is still needed, where they are most: float32.

    Layers run in the order of the network, nothing in place; weights are not counted.
    """

    unit = "bytes"
    direction: Direction = "min"
    transform: Transform = "identity"
    needs = frozenset({"network"})
    version = "1"
    monotone = True  # a network in which no layer is smaller never has less

    def __call__(self, candidate: Candidate) -> float:
        """Count."""
        return float(candidate.network.memory)

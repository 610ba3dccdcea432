"""The peak of memory that activations take for one example."""

from __future__ import annotations

from nasctl.api import BadOption, Candidate, Direction, Transform

__all__ = ["Memory"]


class Memory:
    """Bytes of the inputs and the output of a layer and all that is still needed, where they are most.

    Layers run one by one in the order of the network, which is that of exports, nothing in place; weights are not
    counted, see `size`. On a device it is the least that a runtime needs which keeps that order and does not fuse.

    Args:
        bits: Of one activation: 32 for float32, 16, or 8 for whole numbers.
    """

    unit = "bytes"
    direction: Direction = "min"
    transform: Transform = "identity"
    needs = frozenset({"network"})
    version = "1"
    monotone = True  # a network in which no layer is smaller never has less

    def __init__(self, bits: int = 32) -> None:
        if not 1 <= bits <= 64:
            raise BadOption(f"an activation has 1 to 64 bits, not {bits}; write memory:bits=8")
        self._bits = bits

    def __call__(self, candidate: Candidate) -> float:
        """Count."""
        return float(-(-candidate.network.memory // 4 * self._bits // 8))

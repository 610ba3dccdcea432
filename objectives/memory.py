"""Peak activation memory for one example."""

from __future__ import annotations

from nasctl.api import BadOption, Candidate, Direction, Transform

__all__ = ["Memory"]


class Memory:
    """Peak number of bytes of live activations: a layer's inputs and output, and all that later layers read.

    Layers run one by one in the order of the network, which is also the order of exported networks. No layer runs in
    place. Weights are not counted; see `size`. On a device, the value is the least memory that a runtime needs if it
    keeps this order and does not fuse layers.

    Args:
        bits: Bits per activation: 32 for float32, 16 for half precision, 8 for int8.
    """

    unit = "bytes"
    direction: Direction = "min"
    transform: Transform = "identity"
    needs = frozenset({"network"})
    version = "1"
    monotone = True  # enlarging a layer never lowers the value

    def __init__(self, bits: int = 32) -> None:
        if not 1 <= bits <= 64:
            raise BadOption(f"bits must be 1 to 64, got {bits} (option of memory); for example write memory:bits=8")
        self._bits = bits

    def __call__(self, candidate: Candidate) -> float:
        """Return the peak activation memory in bytes."""
        return float(-(-candidate.network.memory // 4 * self._bits // 8))

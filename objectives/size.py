"""The bytes that a network's weights take where they are stored, such as the flash of a microcontroller."""

from __future__ import annotations

from nasctl.api import BadOption, Candidate, Direction, Transform

__all__ = ["Size"]


class Size:
    """All parameters at so many bits each, and no more: neither the program that runs them nor scales of quantisation.

    Running statistics of norms are not counted, since runtimes fold them into the weights.

    Args:
        bits: Of one parameter: 32 for float32, 16, or 8 for whole numbers.
    """

    unit = "bytes"
    direction: Direction = "min"
    transform: Transform = "identity"
    needs = frozenset({"network"})
    version = "1"
    monotone = True  # a network in which no layer is smaller never has less

    def __init__(self, bits: int = 32) -> None:
        if not 1 <= bits <= 64:
            raise BadOption(f"a parameter has 1 to 64 bits, not {bits}; write size:bits=8")
        self._bits = bits

    def __call__(self, candidate: Candidate) -> float:
        """Count."""
        return float(-(-candidate.network.params * self._bits // 8))

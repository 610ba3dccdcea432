"""Bytes of storage for a network's parameters, for example in the flash memory of a microcontroller."""

from __future__ import annotations

from nasctl.api import BadOption, Candidate, Direction, Transform

__all__ = ["Size"]


class Size:
    """Storage of all parameters at a fixed number of bits per parameter.

    The program that runs the network and the scales of quantisation are not counted. Running statistics of batch norms
    are not counted either, because runtimes fold them into the weights.

    Args:
        bits: Bits per parameter: 32 for float32, 16 for half precision, 8 for int8.
    """

    unit = "bytes"
    direction: Direction = "min"
    transform: Transform = "identity"
    needs = frozenset({"network"})
    version = "1"
    monotone = True  # enlarging a layer never lowers the value

    def __init__(self, bits: int = 32) -> None:
        if not 1 <= bits <= 64:
            raise BadOption(f"bits must be 1 to 64, got {bits} (option of size); for example write size:bits=8")
        self._bits = bits

    def __call__(self, candidate: Candidate) -> float:
        """Return the storage of the parameters in bytes."""
        return float(-(-candidate.network.params * self._bits // 8))

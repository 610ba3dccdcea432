"""Bytes of storage for a network's parameters, for example in the flash memory of a microcontroller."""

from __future__ import annotations

from nasctl.api import BadOption, Candidate, Direction, QuantizedLayer, SparseLayer, Transform

__all__ = ["Size"]


class Size:
    """Storage of all parameters at a fixed number of bits per parameter, and of quantised layers at their own bits.

    The program that runs the network is not counted. Running statistics of batch norms are not counted either, because
    runtimes fold them into the weights. A quantised layer, of the space `quantized`, counts its packed weights, and its
    biases, scales and ranges in float32; with a fixed number of bits, scales are not counted. A layer with pruned
    weights, of the space `sparse`, counts the weights that are not zero, and their places as a bitmap or a code of
    Elias and Fano, whichever is smaller.

    Args:
        bits: Bits per parameter of layers that are not quantised: 32 for float32, 16 for half precision, 8 for int8.
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
        network, bits = candidate.network, candidate.network.params * self._bits
        for span in network.spans:
            for node in span.emission.nodes:
                if isinstance(node.layer, QuantizedLayer):
                    bits += node.layer.stored_bits(*node.in_shapes) - node.params * self._bits
                elif isinstance(node.layer, SparseLayer):  # with few bits, zeros may take less than places
                    zeros = node.layer.zeros(*node.in_shapes) * self._bits
                    bits += min(node.layer.place_bits(*node.in_shapes), zeros)
        return float(-(-bits // 8))

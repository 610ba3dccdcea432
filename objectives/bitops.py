"""Multiply-accumulates, weighted with the bits of their factors."""

from __future__ import annotations

from nasctl.api import Candidate, Direction, QuantizedLayer, Transform

__all__ = ["BitOps"]

FLOAT_BITS = 32  # of the factors in layers that are not quantised


class BitOps:
    """Bit operations: the multiply-accumulates of each layer, times the bits of its weights, times those of its input.

    Layers that are not quantised count 32 x 32 bits. The number says what hardware could save that multiplies numbers
    of any width, not how long a processor takes: most processors have no arithmetic of 2, 3 or 6 bits.

    References:
        Baskin et al., "UNIQ: uniform noise injection for non-uniform quantization of neural networks", ACM Transactions
        on Computer Systems 37 (2021), arXiv:1804.10969, with products and without additions.
    """

    unit = "bit operations"
    direction: Direction = "min"
    transform: Transform = "identity"
    needs = frozenset({"network"})
    version = "1"
    monotone = True  # enlarging a layer never lowers the value

    def __call__(self, candidate: Candidate) -> float:
        """Return the bit operations for one example."""
        total = candidate.network.macs * FLOAT_BITS**2
        for span in candidate.network.spans:
            for node in span.emission.nodes:
                if isinstance(node.layer, QuantizedLayer):
                    layer, shapes = node.layer, node.in_shapes
                    total += layer.bit_operations(*shapes) - layer.macs(*shapes) * FLOAT_BITS**2
        return float(total)

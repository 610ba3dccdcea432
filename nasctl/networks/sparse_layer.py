"""A layer with pruned weights as data: a convolution or linear layer with the share of its weights that are zero."""

from __future__ import annotations

from dataclasses import dataclass

from nasctl.networks.node import Call, Layer, Shape
from nasctl.networks.quantized_layer import parameter_numbers


@dataclass(frozen=True, slots=True)
class SparseLayer(Layer):
    """A convolution or linear layer of which some weights are zero. Biases are kept.

    Its parameters are the weights that are not zero, and biases. Its MACs are those of the layer without zeros, because
    runtimes multiply with zeros too.

    Args:
        layer: The layer.
        sparsity: Share of its weights that are zero, above 0 and below 1; at least one weight is kept.
    """

    layer: Layer
    sparsity: float

    def out(self, *inputs: Shape) -> Shape:
        return self.layer.out(*inputs)

    def params(self, *inputs: Shape) -> int:
        weights, biases = parameter_numbers(self.layer, *inputs)
        return kept_number(weights, self.sparsity) + biases

    def macs(self, *inputs: Shape) -> int:
        return self.layer.macs(*inputs)

    def module(self, *inputs: Shape) -> Call:
        call = self.layer.module(*inputs)
        assert isinstance(call.factory, str)
        weights, _ = parameter_numbers(self.layer, *inputs)
        kept = kept_number(weights, self.sparsity)
        own = {"kept": kept, "low_bits": low_bits(weights, kept)}
        return Call("SparseWeights", call.factory.removeprefix("nn."), *call.args, **call.options, **own)

    def place_bits(self, *inputs: Shape) -> int:
        """Return the bits of storage of the places of the kept weights, in whole bytes."""
        weights, _ = parameter_numbers(self.layer, *inputs)
        kept = kept_number(weights, self.sparsity)
        return -(-code_bits(weights, kept, low_bits(weights, kept)) // 8) * 8

    def zeros(self, *inputs: Shape) -> int:
        """Return the number of weights that are zero."""
        weights, _ = parameter_numbers(self.layer, *inputs)
        return weights - kept_number(weights, self.sparsity)


def kept_number(weights: int, sparsity: float) -> int:
    """Return the number of weights that are kept, 1 or more."""
    return max(1, round(weights * (1 - sparsity)))


def low_bits(weights: int, kept: int) -> int:
    """Return the lower bits of a place in the shortest code; -1 where a bitmap is no longer. See `SparseWeights`.

    References:
        Elias, "Efficient storage and retrieval by content and address of static files", Journal of the ACM 21 (1974).
        Fano, "On the number of bits required to implement an associative memory", MIT Project MAC memorandum 61, 1971.
    """
    return min(range(-1, weights.bit_length()), key=lambda low: code_bits(weights, kept, low))


def code_bits(weights: int, kept: int, low: int) -> int:
    """Return the bits of the places of some weights with a number of lower bits; -1 for a bitmap."""
    return weights if low < 0 else kept * (low + 1) + ((weights - 1) >> low)

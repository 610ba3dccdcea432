"""Quantised variants of a trained network: bits and levels of the weights and of the input of each layer."""

from __future__ import annotations

from collections.abc import Mapping

from nasctl.api import BadOption, Levels, Reference
from nasctl.compression.compressed_space import Given, with_digest
from nasctl.compression.quantized_space import QuantizedVariants
from nasctl.compression.variant_space import VariantSpace

__all__ = ["Quantized"]

BITS = (2, 3, 4, 6, 8, 16)

LEVELS: Mapping[str, tuple[Levels, ...]] = {"uniform": ("uniform",), "power": ("power",), "both": ("uniform", "power")}


class Quantized(VariantSpace[QuantizedVariants]):
    """A trained network with other numbers of bits in each layer.

    Batch norms are folded into the layers before them. Each convolution and linear layer has the bits of its weights,
    their levels, the bits of its input, and perhaps its levels as genes. Levels are uniform, or powers: scale *
    |q / n|^(1 / a) with an exponent a for the weights and one for the input of each layer, by search of their least
    error. Weights of 2 and 16 bits and inputs of 16 bits are uniform. Biases are corrected for the shift of mean
    outputs. All other layers, biases and scales stay float32.

    Args:
        of: A training of nasctl by its name, or the path of its weights or of an export with weights; or FILE.py:NAME
            for a module of your own, which is trained.
        weights: Choices of the bits of weights, ascending.
        activations: Choices of the bits of inputs of layers, ascending.
        levels: Levels of weights: "uniform", "power", or "both" for a gene.
        per_tensor: Whether all channels of a layer share one scale; each has its own otherwise.
        data: Labelled images, of which 256 of the training part calibrate; those of the training by default.
        digest: Digest of network and data, which nasctl adds. A changed file is another space.
        learned: Whether weights of at most 6 bits are rounded up or down, and exponents chosen, for the least error of
            the layer's outputs on the calibration images, by gradients; to the nearest level otherwise.
        input_levels: Levels of inputs, in the same words.

    References:
        Yvinec et al., "PowerQuant: automorphism search for non-uniform quantization", ICLR 2023, arXiv:2301.09858.
        Yvinec et al., "NUPES: non-uniform post-training quantization via power exponent search", 2023,
        arXiv:2308.05600.
        Nagel et al., "Up or down? Adaptive rounding for post-training quantization", ICML 2020, arXiv:2004.10568.
    """

    later_options = frozenset({"learned", "input_levels"})

    def __init__(
        self,
        of: str,
        weights: tuple[int, ...] = BITS,
        activations: tuple[int, ...] = BITS,
        levels: str = "both",
        per_tensor: bool = False,
        data: str = "",
        digest: str = "",
        learned: bool = False,
        input_levels: str = "uniform",
    ) -> None:
        for name, bits in (("weights", weights), ("activations", activations)):
            if not bits or list(bits) != sorted(set(bits)) or not 2 <= bits[0] <= bits[-1] <= 16:
                raise BadOption(
                    f"Cannot quantise to {name}={','.join(map(str, bits))}: bits are from 2 to 16, ascending. Give for"
                    f" example {name}=4,8."
                )
        for name, value in (("levels", levels), ("input_levels", input_levels)):
            if value not in LEVELS:
                raise BadOption(f"Cannot use {name}={value}. Give {name}=uniform, {name}=power or {name}=both.")
        given = Given.of(of, data, digest or with_digest({"of": of, "data": data})["digest"])
        choices = tuple(weights), tuple(activations), LEVELS[levels], LEVELS[input_levels]
        super().__init__(QuantizedVariants(given, *choices, per_tensor, learned))

    @property
    def references(self) -> Mapping[str, Reference]:
        """The networks with the same bits in all layers, such as "uniform-8", which searches begin with."""
        return {
            f"uniform-{bits}": Reference(genome, f"{bits}-bit weights with uniform levels in all layers")
            for bits, genome in self.variants.uniform().items()
        }

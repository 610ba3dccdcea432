"""Quantised variants of a trained network by genome, for the space `quantized`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product
from typing import TYPE_CHECKING

from nasctl.compression.compressed_space import Evaluator, Given
from nasctl.compression.folded_norms import FoldedNetwork
from nasctl.compression.labelled_data import calibration_pixels
from nasctl.compression.memoised_outputs import MemoisedOutputs
from nasctl.compression.quantizer import LayerChoice, Quantizer, quantized_layer
from nasctl.errors import NasctlError
from nasctl.networks.graph import Network
from nasctl.networks.quantized_layer import Levels
from nasctl.problem.space import Gene, Genome

if TYPE_CHECKING:
    from torch import Tensor, nn

USUAL_BITS = 8  # bits of inputs where a network has the same bits in all layers

# Bits whose levels are always uniform. Power levels of 2-bit weights are the same, and those of 16 bits no better.
UNIFORM_BITS: Mapping[str, tuple[int, ...]] = {"weights": (2, 16), "inputs": (16,)}

BITS_OF = {"levels": "weights", "input_levels": "inputs"}  # the gene of bits by that of its levels


@dataclass(frozen=True)
class QuantizedVariants:
    """The quantised variants of a trained network; a copy in another process reads the file again.

    Args:
        given: The network and its calibration data.
        weights: Choices of the bits of weights.
        inputs: Choices of the bits of inputs.
        levels: Choices of levels of weights.
        input_levels: Choices of levels of inputs.
        per_tensor: Whether all channels of a layer share one scale.
        learned: Whether rounding and exponents are learned.

    Raises:
        NasctlError: The network has no layer that can be quantised.
    """

    given: Given
    weights: tuple[int, ...]
    inputs: tuple[int, ...]
    levels: tuple[Levels, ...]
    input_levels: tuple[Levels, ...]
    per_tensor: bool
    learned: bool = False

    @cached_property
    def genes(self) -> tuple[Gene, ...]:
        """Bits and levels of the weights and of the inputs of each layer; a gene with one choice is left out."""
        nodes, places = _folded(self.given).nodes, list(_folded(self.given).folded)
        if not places:
            raise NasctlError(
                f"Cannot quantise {self.given.path}: it has no convolution or linear layer with weights of its own."
                " Give another network."
            )
        found = [
            gene
            for place in places
            for gene in (
                Gene(f"{nodes[place].name}.weights", self.weights, ordered=True),
                Gene(f"{nodes[place].name}.levels", self.levels),
                Gene(f"{nodes[place].name}.inputs", self.inputs, ordered=True),
                Gene(f"{nodes[place].name}.input_levels", self.input_levels),
            )
            if len(gene.choices) > 1
        ]
        # A space has at least one gene, so that a space of one variant can be searched and exported too.
        return tuple(found) or (Gene(f"{nodes[places[0]].name}.weights", self.weights, ordered=True),)

    def choices(self, genome: Genome) -> dict[int, LayerChoice]:
        """Return the choice of each layer by its position in the folded network."""
        picked = {gene.name: gene.choices[choice] for gene, choice in zip(self.genes, genome, strict=True)}
        found = {}
        for place in _folded(self.given).folded:
            name = _folded(self.given).nodes[place].name
            weights, inputs = (_bits(picked, name, kind, choices) for kind, choices in self._bits.items())
            levels = _levels(picked.get(f"{name}.levels", self.levels[0]), "weights", weights)
            input_levels = _levels(picked.get(f"{name}.input_levels", self.input_levels[0]), "inputs", inputs)
            found[place] = LayerChoice(weights, inputs, levels, input_levels)
        return found

    def canonical(self, genome: Genome) -> Genome:
        """Return the genome with the first choice of all levels that are always uniform, by their bits."""
        picked = {gene.name: gene.choices[choice] for gene, choice in zip(self.genes, genome, strict=True)}

        def idle(gene: Gene) -> bool:
            layer, _, kind = gene.name.rpartition(".")
            bits = BITS_OF.get(kind)
            return bits is not None and _bits(picked, layer, bits, self._bits[bits]) in UNIFORM_BITS[bits]

        return tuple(0 if idle(gene) else choice for gene, choice in zip(self.genes, genome, strict=True))

    @property
    def _bits(self) -> dict[str, tuple[int, ...]]:
        """The choices of bits by the last name of their gene."""
        return {"weights": self.weights, "inputs": self.inputs}

    def uniform(self) -> dict[int, Genome]:
        """Return the genomes with the same bits of weights in all layers, by these bits.

        Levels are uniform if they may be, and inputs have 8 bits, or else the next fewer, or else the fewest.
        """
        inputs = max((bits for bits in self.inputs if bits <= USUAL_BITS), default=self.inputs[0])
        found = {}
        for bits in self.weights:
            levels = {"levels": self.levels[0], "input_levels": self.input_levels[0]}
            picks: dict[str, object] = {"weights": bits, "inputs": inputs, **levels}
            genome = (gene.choices.index(picks[gene.name.rpartition(".")[2]]) for gene in self.genes)
            found[bits] = self.canonical(tuple(genome))
        return found

    def network(self, genome: Genome) -> Network:
        """Return the network of a genome."""
        folded = _folded(self.given)
        return folded.network(
            {k: quantized_layer(folded.nodes[k], one, self.per_tensor) for k, one in self.choices(genome).items()}
        )

    def module(self, genome: Genome) -> nn.Module:
        """Return a new module of a genome's network with its weights, in evaluation mode."""
        return self._quantizer.module(self.choices(genome))

    def evaluator(self, batches: Sequence[Tensor], quantizer: Quantizer | None = None) -> Evaluator:
        """Return a function that computes the outputs of many variants for the same images.

        Args:
            batches: Normalised images, (B, C, H, W) each.
            quantizer: The quantiser; by default the one that all spaces of the process share.
        """
        quantizer = quantizer or self._quantizer
        folded = quantizer.folded
        memo = MemoisedOutputs(folded.nodes, folded.output, batches, frozenset(folded.folded))

        def outputs(genome: Genome) -> list[Tensor]:
            choices: Mapping[int, LayerChoice] = self.choices(genome)
            return memo(
                [choices.get(k) for k in range(len(folded.nodes))],
                lambda k: quantizer.part(k, choices[k]) if k in choices else quantizer.plain(k),
            )

        return outputs

    @property
    def _quantizer(self) -> Quantizer:
        return _quantizer(self)


@lru_cache(maxsize=4)
def _folded(given: Given) -> FoldedNetwork:
    return FoldedNetwork(given.base)


@lru_cache(maxsize=2)
def _quantizer(variants: QuantizedVariants) -> Quantizer:
    """Return the quantiser that all spaces of a process with the same options share."""
    return new_quantizer(variants)


def new_quantizer(variants: QuantizedVariants) -> Quantizer:
    """Return a quantiser that has not quantised anything yet."""
    given = variants.given
    pixels = calibration_pixels(given.calibration)
    pairs = product(variants.inputs, variants.input_levels)
    inputs = list(dict.fromkeys((bits, _levels(levels, "inputs", bits)) for bits, levels in pairs))
    return Quantizer(given.base, _folded(given), pixels, inputs, variants.per_tensor, variants.learned)


def _bits(picked: Mapping[str, object], layer: str, kind: str, choices: Sequence[int]) -> int:
    """Return the bits that a genome picks for the weights or the inputs of a layer."""
    found = picked.get(f"{layer}.{kind}", choices[0])
    assert isinstance(found, int)
    return found


def _levels(levels: object, kind: str, bits: int) -> Levels:
    """Return levels of weights or inputs, which are always uniform with some bits."""
    return "power" if levels == "power" and bits not in UNIFORM_BITS[kind] else "uniform"

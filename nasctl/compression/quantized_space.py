"""Quantised variants of a trained network by genome, for the space `quantized`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
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

# Bits of weights whose levels are always uniform: with 2 bits power levels are the same, and with 16 no better.
UNIFORM_BITS = (2, 16)


@dataclass(frozen=True)
class QuantizedVariants:
    """The quantised variants of a trained network; a copy in another process reads the file again.

    Args:
        given: The network and its calibration data.
        weights: Choices of the bits of weights.
        inputs: Choices of the bits of inputs.
        levels: Choices of levels.
        per_tensor: Whether all channels of a layer share one scale.
        learned: Whether rounding and exponents are learned.

    Raises:
        NasctlError: The network has no layer that can be quantised.
    """

    given: Given
    weights: tuple[int, ...]
    inputs: tuple[int, ...]
    levels: tuple[Levels, ...]
    per_tensor: bool
    learned: bool = False

    @cached_property
    def genes(self) -> tuple[Gene, ...]:
        """Bits of weights, levels and bits of inputs of each layer; a gene with one choice is left out."""
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
            weights = picked.get(f"{name}.weights", self.weights[0])
            levels = picked.get(f"{name}.levels", self.levels[0])
            inputs = picked.get(f"{name}.inputs", self.inputs[0])
            assert isinstance(weights, int)
            assert isinstance(inputs, int)
            uniform = weights in UNIFORM_BITS or levels == "uniform"
            found[place] = LayerChoice(weights, inputs, "uniform" if uniform else "power")
        return found

    def canonical(self, genome: Genome) -> Genome:
        """Return the genome with the first choice of the levels of all weights whose levels are always uniform."""
        alike = {
            gene.name.removesuffix("weights")
            for gene, choice in zip(self.genes, genome, strict=True)
            if gene.name.endswith(".weights") and gene.choices[choice] in UNIFORM_BITS
        }
        always = len(self.weights) == 1 and self.weights[0] in UNIFORM_BITS
        return tuple(
            0 if gene.name.endswith(".levels") and (always or gene.name.removesuffix("levels") in alike) else choice
            for gene, choice in zip(self.genes, genome, strict=True)
        )

    def uniform(self) -> dict[int, Genome]:
        """Return the genomes with the same bits of weights in all layers, by these bits.

        Levels are uniform if they may be, and inputs have 8 bits, or else the next fewer, or else the fewest.
        """
        inputs = max((bits for bits in self.inputs if bits <= USUAL_BITS), default=self.inputs[0])
        found = {}
        for bits in self.weights:
            picks: dict[str, object] = {"weights": bits, "levels": self.levels[0], "inputs": inputs}
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
    return Quantizer(given.base, _folded(given), pixels, variants.inputs, variants.per_tensor, variants.learned)

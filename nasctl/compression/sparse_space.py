"""Sparse variants of a trained network by genome: masks of the weights of each layer, for the space `sparse`."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from nasctl.compression.changed_network import with_layers
from nasctl.compression.compressed_space import Evaluator, Given
from nasctl.compression.mask_options import MaskOptions, best_seed, calibration_batches, first_of_equal
from nasctl.compression.packed_weights import kept_places, packed_places
from nasctl.compression.recalibrated_variants import RecalibratedVariants, prunable_layers
from nasctl.compression.stored_masks import stored_masks
from nasctl.compression.weight_scores import weight_scores
from nasctl.errors import NasctlError
from nasctl.networks.executable import construct
from nasctl.networks.graph import Network
from nasctl.networks.node import attribute_name
from nasctl.networks.quantized_layer import parameter_numbers
from nasctl.networks.sparse_layer import SparseLayer, kept_number
from nasctl.problem.space import Gene, Genome
from nasctl.system.wording import plural

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class SparseVariants:
    """The sparse variants of a trained network; a copy in another process reads the file again.

    Args:
        given: The network and its calibration data.
        sparsities: Choices of the share of weights of a layer that are zero, descending.
        options: How weights are chosen.

    Raises:
        NasctlError: The network has no layer that can be pruned.
    """

    given: Given
    sparsities: tuple[float, ...]
    options: MaskOptions

    @cached_property
    def genes(self) -> tuple[Gene, ...]:
        """The sparsity of each layer; a later choice keeps more weights."""
        if not self._weights:
            raise NasctlError(
                f"Cannot prune {self.given.path}: it has no convolution or linear layer with weights of its own. Give"
                " another network."
            )
        nodes = self.given.base.network.nodes
        return tuple(Gene(f"{nodes[k].name}.sparsity", self.sparsities, ordered=True) for k in self._weights)

    def canonical(self, genome: Genome) -> Genome:
        """Return the genome with the first of the choices that keep the same number of weights of a layer."""
        return tuple(firsts[choice] for firsts, choice in zip(self._firsts, genome, strict=True))

    def uniform(self) -> dict[float, Genome]:
        """Return the genomes with the same sparsity in all layers, by the sparsity, ascending."""
        return {
            sparsity: self.canonical((choice,) * len(self.genes))
            for choice, sparsity in reversed([*enumerate(self.sparsities)])
        }

    @cached_property
    def overall(self) -> dict[float, Genome]:
        """The genomes whose layers keep the weights of largest score in the whole network, by the sparsity.

        Each layer gets the choice nearest to the share of its weights that would be zero. Searched masks have those of
        magnitudes, as the paper has them. Random scores have no such genomes, because all layers would have about the
        same sparsity.
        """
        if self.options.method == "random" or len(self._weights) < 2:
            return {}
        asked = self
        if self.options.method == "jackpot":
            asked = replace(self, options=replace(self.options, method="magnitude"))
        scores = [one.flatten().double() for one in _networks(asked).scores(0.0).values()]
        every = torch.cat(scores).sort().values
        found = {}
        for sparsity in sorted(filter(None, self.sparsities)):
            threshold = every[min(len(every) - 1, round(sparsity * len(every)))]
            shares = [float((one < threshold).double().mean()) for one in scores]
            genome = [min(range(len(self.sparsities)), key=lambda k: abs(self.sparsities[k] - one)) for one in shares]
            found[sparsity] = self.canonical(tuple(genome))
        return found

    @property
    def preparation(self) -> str:
        """A sentence on the masks that are searched before the first candidates are measured; "" if none are."""
        if self.options.method != "jackpot":
            return ""
        number, epochs = sum(one > 0 for one in self.sparsities), self.options.search.epochs
        return (
            f"masks are searched on frozen weights, {plural(epochs, 'epoch')} for each of"
            f" {plural(number, 'sparsity', 'sparsities')}, unless {self.options.folder} has them: the first candidates"
            " wait for these"
        )

    def network(self, genome: Genome) -> Network:
        """Return the network of a genome."""
        return _networks(self).network(genome)

    def module(self, genome: Genome) -> nn.Module:
        """Return a new module of a genome's network with its weights, in evaluation mode."""
        return _networks(self).variants.module(genome)

    def evaluator(self, batches: Sequence[Tensor]) -> Evaluator:
        """Return a function that computes the outputs of many variants for the same images; see `CompressedSpace`."""
        return _networks(self).variants.evaluator(batches)

    def sparsity_of(self, genome: Genome) -> dict[int, float]:
        """Return the sparsity of each layer with zeros, by its position."""
        found = {k: self.sparsities[choice] for k, choice in zip(self._weights, genome, strict=True)}
        return {k: one for k, one in found.items() if kept_number(self._weights[k], one) < self._weights[k]}

    @cached_property
    def _weights(self) -> dict[int, int]:
        """The number of weights of each layer that can be pruned, by its position."""
        nodes = self.given.base.network.nodes
        return {k: parameter_numbers(nodes[k].layer, *nodes[k].in_shapes)[0] for k in prunable_layers(nodes)}

    @cached_property
    def _firsts(self) -> tuple[tuple[int, ...], ...]:
        """For each layer and choice the first choice that keeps as many weights."""
        numbers = self._weights.values()
        return tuple(first_of_equal([kept_number(number, one) for one in self.sparsities]) for number in numbers)


class _SparseNetworks:
    """The layers of the sparse variants of a trained network; it implements `ChangedLayers`.

    Args:
        asked: The variants.
    """

    def __init__(self, asked: SparseVariants) -> None:
        self._asked, self._base = asked, asked.given.base
        self._nodes = self._base.network.nodes
        self._scores: dict[float | None, dict[int, Tensor]] = {}
        self.variants = RecalibratedVariants(self._base, self, calibration_batches(asked.given, asked.options))

    def scores(self, sparsity: float) -> dict[int, Tensor]:
        """Return the scores of the weights of each layer that can be pruned, for a sparsity, by position."""
        options, key = self._asked.options, sparsity if self._asked.options.by_sparsity else None
        if (known := self._scores.get(key)) is not None:
            return known
        places, data = prunable_layers(self._nodes), self._asked.given.calibration
        nodes = [self._nodes[k] for k in places]
        if options.method == "jackpot":
            names, search = tuple(node.name for node in nodes), replace(options.search, seed=options.seed)
            found = stored_masks(Path(options.folder), self._base, names, sparsity, data, search)
        else:
            seed = options.seed if key is None else self._best_seed(sparsity)
            found = weight_scores(self._base, nodes, options.method, seed, data)
        self._scores[key] = {k: found[self._nodes[k].name].float() for k in places}
        return self._scores[key]

    def _best_seed(self, sparsity: float) -> int:
        """Return the seed of the random masks of least loss, with one sparsity in all layers."""

        def outputs(seed: int, batches: Sequence[Tensor]) -> list[Tensor]:
            asked = replace(self._asked, options=replace(self._asked.options, seed=seed, draws=1))
            return _SparseNetworks(asked).variants.evaluator(batches)(asked.uniform()[sparsity])

        return best_seed(self._asked.given, self._asked.options, outputs)

    def choices(self, genome: Genome) -> list[Hashable]:
        sparsity = self._asked.sparsity_of(genome)
        return [sparsity.get(k) for k in range(len(self._nodes))]

    def changed(self, place: int, choice: Hashable) -> nn.Module:
        node = self._nodes[place]
        assert isinstance(choice, float)
        layer, prefix = SparseLayer(node.layer, choice), attribute_name(node.name)
        weight = self._base.state[f"{prefix}.weight"]
        places = kept_places(self.scores(choice)[place], kept_number(weight.numel(), choice))
        state = {"positions": packed_places(places, weight.numel()), "values": weight.detach().flatten()[places]}
        if (bias := self._base.state.get(f"{prefix}.bias")) is not None:
            state["layer.bias"] = bias
        with torch.random.fork_rng(devices=[]):  # the constructor draws weights first
            made = construct(layer.module(*node.in_shapes)).eval().requires_grad_(False)
        made.load_state_dict(state)
        return made

    def network(self, genome: Genome) -> Network:
        sparsity = self._asked.sparsity_of(genome)
        layers = {k: SparseLayer(self._nodes[k].layer, one) for k, one in sparsity.items()}
        return with_layers(self._base.network, layers)


@lru_cache(maxsize=4)
def _networks(asked: SparseVariants) -> _SparseNetworks:
    """Return the layers that all spaces of a process with the same options share."""
    return _SparseNetworks(asked)


__all__ = ["SparseVariants"]

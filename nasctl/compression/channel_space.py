"""Variants of a trained network with fewer channels by genome, for the space `sparse` with structured=yes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from nasctl.compression.changed_network import with_layers
from nasctl.compression.channel_groups import ChannelGroup, ChannelMap, channel_map
from nasctl.compression.compressed_space import Evaluator, Given
from nasctl.compression.mask_options import MaskOptions, best_seed, calibration_batches, first_of_equal
from nasctl.compression.narrow_layers import narrowed, narrowed_state
from nasctl.compression.recalibrated_variants import RecalibratedVariants
from nasctl.compression.weight_scores import weight_scores
from nasctl.errors import NasctlError
from nasctl.networks.executable import construct
from nasctl.networks.graph import Network
from nasctl.networks.node import Layer, Shape, attribute_name
from nasctl.networks.sparse_layer import kept_number
from nasctl.problem.space import Gene, Genome

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class ChannelVariants:
    """The variants of a trained network with fewer channels; a copy in another process reads the file again.

    Args:
        given: The network and its calibration data.
        sparsities: Choices of the share of the channels of a group that are removed, descending.
        options: How channels are chosen.

    Raises:
        NasctlError: The network has no channels that can be removed.
    """

    given: Given
    sparsities: tuple[float, ...]
    options: MaskOptions

    @cached_property
    def genes(self) -> tuple[Gene, ...]:
        """The sparsity of each group of channels; a later choice keeps more channels."""
        if not self._groups:
            raise NasctlError(
                f"Cannot remove channels of {self.given.path}: none can be removed without changing its input, its"
                " output or a layer that mixes channels otherwise. Leave structured out, or give another network."
            )
        return tuple(Gene(f"{group.name}.sparsity", self.sparsities, ordered=True) for group in self._groups)

    def canonical(self, genome: Genome) -> Genome:
        """Return the genome with the first of the choices that keep the same number of channels of a group."""
        return tuple(firsts[choice] for firsts, choice in zip(self._firsts, genome, strict=True))

    def uniform(self) -> dict[float, Genome]:
        """Return the genomes with the same sparsity in all groups, by the sparsity, ascending."""
        return {
            sparsity: self.canonical((choice,) * len(self.genes))
            for choice, sparsity in reversed([*enumerate(self.sparsities)])
        }

    @property
    def overall(self) -> dict[float, Genome]:
        """Nothing: scores of channels of different groups are not compared."""
        return {}

    @property
    def preparation(self) -> str:
        """Return "": no masks are searched."""
        return ""

    def network(self, genome: Genome) -> Network:
        """Return the network of a genome."""
        return _networks(self).network(genome)

    def module(self, genome: Genome) -> nn.Module:
        """Return a new module of a genome's network with its weights, in evaluation mode."""
        return _networks(self).variants.module(genome)

    def evaluator(self, batches: Sequence[Tensor]) -> Evaluator:
        """Return a function that computes the outputs of many variants for the same images; see `CompressedSpace`."""
        return _networks(self).variants.evaluator(batches)

    @property
    def _groups(self) -> Sequence[ChannelGroup]:
        return _channels(self.given).groups

    @cached_property
    def _firsts(self) -> tuple[tuple[int, ...], ...]:
        """For each group and choice the first choice that keeps as many channels."""
        numbers = [len(group.labels) for group in self._groups]
        return tuple(first_of_equal([kept_number(number, one) for one in self.sparsities]) for number in numbers)


class _NarrowNetworks:
    """The layers of the variants with fewer channels; it implements `ChangedLayers`.

    Args:
        asked: The variants.
    """

    def __init__(self, asked: ChannelVariants) -> None:
        self._asked, self._base, self._map = asked, asked.given.base, _channels(asked.given)
        self._nodes = self._base.network.nodes
        self.variants = RecalibratedVariants(self._base, self, calibration_batches(asked.given, asked.options))
        self._group_of = {int(label): g for g, group in enumerate(self._map.groups) for label in group.labels}
        self._kept: dict[tuple[int, int], frozenset[int]] = {}
        self._scores: dict[float | None, tuple[Tensor, ...]] = {}

    def choices(self, genome: Genome) -> list[Hashable]:
        """Return the choices of the groups that a layer with weights reads and puts out; None if all are whole."""
        sizes = [len(group.labels) for group in self._map.groups]
        whole = [len(self._labels_kept(g, choice)) == sizes[g] for g, choice in enumerate(genome)]
        return [tuple((g, genome[g]) for g in groups if not whole[g]) or None for groups in self._touching]

    def changed(self, place: int, choice: Hashable) -> nn.Module:
        node, asked = self._nodes[place], dict(choice)  # type: ignore[call-overload]  # pairs of group and choice
        inputs, outputs = self._places(node.inputs[0], asked), self._places(place, asked)
        layer = narrowed(node, len(inputs), len(outputs))
        prefix = attribute_name(node.name)
        with torch.random.fork_rng(devices=[]):  # the constructors draw weights first
            whole = construct(node.layer.module(*node.in_shapes))
            made = construct(layer.module(_narrow_shape(node.in_shapes[0], len(inputs)))).eval().requires_grad_(False)
        state = {key.removeprefix(f"{prefix}."): one for key, one in self._base.state.items() if _of(key, prefix)}
        whole.load_state_dict(state)
        made.load_state_dict(narrowed_state(whole, inputs, outputs))
        return made

    def network(self, genome: Genome) -> Network:
        layers: dict[int, Layer] = {}
        for k, choice in enumerate(self.choices(genome)):
            if choice is None:
                continue
            asked = dict(choice)  # type: ignore[call-overload]
            inputs, outputs = self._places(self._nodes[k].inputs[0], asked), self._places(k, asked)
            layer = narrowed(self._nodes[k], len(inputs), len(outputs))
            if layer != self._nodes[k].layer:
                layers[k] = layer
        return with_layers(self._base.network, layers)

    def _scored(self, sparsity: float) -> tuple[Tensor, ...]:
        """Return the score of each channel, (C,) float64, by group, for a sparsity.

        It is the mean over the layers that put the channel out of the sum of the scores of its filter, relative to the
        mean of the layer's filters.
        """
        options, key = self._asked.options, sparsity if self._asked.options.by_sparsity else None
        if (known := self._scores.get(key)) is not None:
            return known
        nodes = [self._nodes[k] for group in self._map.groups for k in group.producers]
        assert options.method != "jackpot"
        seed = options.seed if key is None else self._best_seed(sparsity)
        found = weight_scores(self._base, nodes, options.method, seed, self._asked.given.calibration)
        scores = []
        for group in self._map.groups:
            sums, counts = torch.zeros(len(group.labels)).double(), torch.zeros(len(group.labels)).double()
            for k in group.producers:
                filters = found[self._nodes[k].name].double().flatten(1).sum(1)
                at = torch.from_numpy(np.searchsorted(group.labels, self._map.labels[k]))
                sums.index_add_(0, at, filters / filters.mean().clamp(min=1e-30))
                counts.index_add_(0, at, torch.ones_like(filters))
            scores.append(sums / counts.clamp(min=1))
        self._scores[key] = tuple(scores)
        return self._scores[key]

    def _best_seed(self, sparsity: float) -> int:
        """Return the seed of the random channels of least loss, with one sparsity in all groups."""

        def outputs(seed: int, batches: Sequence[Tensor]) -> list[Tensor]:
            asked = replace(self._asked, options=replace(self._asked.options, seed=seed, draws=1))
            return _NarrowNetworks(asked).variants.evaluator(batches)(asked.uniform()[sparsity])

        return best_seed(self._asked.given, self._asked.options, outputs)

    def _labels_kept(self, group: int, choice: int) -> frozenset[int]:
        """Return the labels of the channels of a group that a choice keeps; each layer keeps one or more."""
        if (found := self._kept.get((group, choice))) is not None:
            return found
        labels, sparsity = self._map.groups[group].labels, self._asked.sparsities[choice]
        scores, number = self._scored(sparsity)[group], kept_number(len(labels), sparsity)
        order = torch.sort(scores, descending=True, stable=True).indices.numpy()
        kept = set(labels[order[:number]].tolist())
        for k in self._map.groups[group].producers:
            own = set(self._map.labels[k].tolist())
            if not own & kept:
                kept.add(next(int(label) for label in labels[order] if label in own))
        self._kept[group, choice] = frozenset(kept)
        return self._kept[group, choice]

    def _places(self, at: int, asked: Mapping[int, int]) -> Tensor:
        """Return the places of the kept channels of a value, ascending, int64."""
        labels = self._map.labels[at].tolist()
        groups = [self._group_of.get(label) for label in labels]
        kept = {g: self._labels_kept(g, choice) for g, choice in asked.items()}
        return torch.tensor([k for k, g in enumerate(groups) if g not in kept or labels[k] in kept[g]])

    @cached_property
    def _touching(self) -> list[tuple[int, ...]]:
        """The groups of the channels that each layer with weights reads and puts out; () for all other layers."""
        groups = {
            at: {self._group_of[label] for label in labels.tolist() if label in self._group_of}
            for at, labels in self._map.labels.items()
        }
        return [
            tuple(sorted(groups[node.inputs[0]] | groups[k])) if role in ("mixes", "scales") else ()
            for k, (node, role) in enumerate(zip(self._nodes, self._map.roles, strict=True))
        ]


def _narrow_shape(shape: Shape, channels: int) -> Shape:
    return (channels, *shape[1:]) if len(shape) == 3 else (*shape[:-1], channels)


def _of(key: str, prefix: str) -> bool:
    return key.partition(".")[0] == prefix


@lru_cache(maxsize=4)
def _channels(given: Given) -> ChannelMap:
    return channel_map(given.base.network)


@lru_cache(maxsize=4)
def _networks(asked: ChannelVariants) -> _NarrowNetworks:
    """Return the layers that all spaces of a process with the same options share."""
    return _NarrowNetworks(asked)


__all__ = ["ChannelVariants"]

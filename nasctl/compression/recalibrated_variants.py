"""Variants of a trained network whose batch norms are recalibrated: their outputs, and their modules."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from nasctl.compression.compressed_space import Evaluator
from nasctl.compression.memoised_outputs import MemoisedOutputs
from nasctl.compression.trained_base import TrainedBase
from nasctl.networks.graph import Network
from nasctl.networks.layer_kinds import is_batch_norm
from nasctl.networks.node import Node, attribute_name
from nasctl.networks.quantized_layer import quantizable
from nasctl.problem.space import Genome

KEPT_BYTES = 256 << 20  # of changed layers that are kept in memory


class ChangedLayers(Protocol):
    """The layers of the variants of a trained network."""

    def choices(self, genome: Genome) -> list[Hashable]:
        """Return the choice of each layer, by position; None for a layer that stays as it is."""
        ...

    def changed(self, place: int, choice: Hashable) -> nn.Module:
        """Return a new module of a layer with a choice that is not None, in evaluation mode."""
        ...

    def network(self, genome: Genome) -> Network:
        """Return the network of a genome; its layers are those of the trained network, with other sizes or kinds."""
        ...


class _Recalibrated(NamedTuple):
    """The choice of a norm whose statistics change, because a layer before it does."""

    choice: Hashable


class RecalibratedNorm(nn.Module):
    """A batch norm whose running statistics become those of some batches of its input.

    Args:
        norm: The norm, which is not changed.
        number: Number of the batches that statistics come from; these are the first ones.
    """

    def __init__(self, norm: nn.Module, number: int) -> None:
        super().__init__()
        self.norm, self._number = copy.deepcopy(norm), number

    @torch.no_grad()
    def on_batches(self, batches: list[Tensor]) -> list[Tensor]:
        """Set the statistics, and return the output for each batch; see `ReadsAllBatches`."""
        values = torch.cat(batches[: self._number])
        axes = [axis for axis in range(values.ndim) if axis != 1]
        variance, mean = torch.var_mean(values, axes, correction=0)
        self.norm.get_buffer("running_mean").copy_(mean)
        self.norm.get_buffer("running_var").copy_(variance)
        return [self.norm(one) for one in batches]


class RecalibratedVariants:
    """The outputs and modules of variants of a trained network.

    A batch norm behind a changed layer gets the statistics of its input on calibration images, layer by layer, so that
    the norms before it have theirs already. All other norms keep the statistics of the training.

    Args:
        base: The trained network.
        layers: The layers of its variants.
        calibration: Normalised images that statistics come from, (B, C, H, W) each; empty if they are not to change.

    References:
        Yu & Huang, "Universally slimmable networks and improved training techniques", ICCV 2019, arXiv:1903.05134,
        section 3.2, whose statistics are means over batches.
    """

    def __init__(self, base: TrainedBase, layers: ChangedLayers, calibration: Sequence[Tensor]) -> None:
        self._base, self._layers, self._calibration = base, layers, list(calibration)
        self._nodes, self._plain = base.network.nodes, _plain_modules(base)
        single = single_layers(self._nodes)
        self._norms = frozenset(
            k
            for k, node in enumerate(self._nodes)
            if self._calibration and k in single and _can_recalibrate(node, self._plain[k])
        )
        self._kept: OrderedDict[tuple[int, Hashable], nn.Module] = OrderedDict()
        self._bytes = 0

    def evaluator(self, batches: Sequence[Tensor]) -> Evaluator:
        """Return a function that computes the outputs of many variants for the same images; see `CompressedSpace`."""
        # The value behind a norm is kept in place of that before it, which only the norm reads.
        before = {self._nodes[k].inputs[0] for k in self._norms}
        costly = {k for k, node in enumerate(self._nodes) if quantizable(node)}
        kept = frozenset(self._norms | (costly - before))
        memo = MemoisedOutputs(self._nodes, self._base.network.output, [*self._calibration, *batches], kept)

        def outputs(genome: Genome) -> list[Tensor]:
            choices = self._choices(genome)
            return memo(choices, lambda k: self._part(k, choices[k]))[len(self._calibration) :]

        return outputs

    def module(self, genome: Genome) -> nn.Module:
        """Return a new module of a genome's network with its weights, in evaluation mode."""
        choices = self._choices(genome)
        parts = {k: self._part(k, choice) for k, choice in enumerate(choices) if choice is not None}
        if any(isinstance(part, RecalibratedNorm) for part in parts.values()):
            memo = MemoisedOutputs(self._nodes, self._base.network.output, self._calibration, frozenset())
            memo(choices, lambda k: parts.get(k, self._plain[k]))
        attributes = {attribute_name(self._nodes[k].name): part for k, part in parts.items()}
        state = {key: value for key, value in self._base.state.items() if key.partition(".")[0] not in attributes}
        for attribute, part in attributes.items():
            own = part.norm if isinstance(part, RecalibratedNorm) else part
            state |= {f"{attribute}.{key}": value for key, value in own.state_dict().items()}
        with torch.random.fork_rng(devices=[]):  # the constructors draw weights first
            made = self._layers.network(genome).module().eval()
        made.load_state_dict(state)
        return made

    def _choices(self, genome: Genome) -> list[Hashable]:
        """Return the choice of each layer, norms with other statistics among them."""
        found, touched = self._layers.choices(genome), set[int]()
        for k, node in enumerate(self._nodes):
            if found[k] is not None or touched & set(node.inputs):
                touched.add(k)
                found[k] = _Recalibrated(found[k]) if k in self._norms else found[k]
        return found

    def _part(self, place: int, choice: Hashable) -> nn.Module:
        """Return the module of a layer. Modules but norms with other statistics are shared, and must not be changed."""
        if isinstance(choice, _Recalibrated):
            return RecalibratedNorm(self._part(place, choice.choice), len(self._calibration))
        if choice is None:
            return self._plain[place]
        key = place, choice
        if (found := self._kept.get(key)) is None:
            found = self._kept[key] = self._layers.changed(place, choice)
            self._bytes += _size(found)
            while self._bytes > KEPT_BYTES and len(self._kept) > 1:
                self._bytes -= _size(self._kept.popitem(last=False)[1])
        self._kept.move_to_end(key)
        return found


def single_layers(nodes: Sequence[Node]) -> frozenset[int]:
    """Return the positions of layers with an input whose modules and tensors are those of no other layer."""
    reused = {node.module_of for node in nodes} | {one.layer for node in nodes for one in node.shared}
    return frozenset(
        k
        for k, node in enumerate(nodes)
        if node.inputs and node.name not in reused and not node.module_of and not node.shared
    )


def prunable_layers(nodes: Sequence[Node]) -> tuple[int, ...]:
    """Return the positions of the convolutions and linear layers whose weights are their own, in order."""
    single = single_layers(nodes)
    return tuple(k for k, node in enumerate(nodes) if k in single and quantizable(node))


def _plain_modules(base: TrainedBase) -> list[nn.Module]:
    """Return the modules of the layers of the trained network, by position."""
    module = base.module()
    return [module.get_submodule(attribute_name(node.name)) for node in base.network.nodes]


def _can_recalibrate(node: Node, part: nn.Module) -> bool:
    """Return whether a layer is a batch norm of whole examples with running statistics."""
    return is_batch_norm(node) and node.layer.rows is None and part._buffers.get("running_mean") is not None


def _size(part: nn.Module) -> int:
    return sum(one.nbytes for one in (*part.parameters(), *part.buffers()))


__all__ = [
    "ChangedLayers",
    "RecalibratedNorm",
    "RecalibratedVariants",
    "prunable_layers",
    "single_layers",
]

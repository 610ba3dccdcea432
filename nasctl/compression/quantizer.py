"""Quantised variants of a trained network: each choice of each layer is quantised once and kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor, nn

from nasctl.candidates.determinism import deterministic_torch
from nasctl.compression.calibration import InputChoice, InputStatistics, batches, input_statistics
from nasctl.compression.folded_norms import FoldedNetwork
from nasctl.compression.input_moments import InputMoments, input_moments
from nasctl.compression.learned_rounding import LEARNED_BITS, learned_tensor
from nasctl.compression.trained_base import TrainedBase
from nasctl.compression.weight_levels import QuantizedTensor, quantized_tensor
from nasctl.networks.executable import construct
from nasctl.networks.node import Node, attribute_name
from nasctl.networks.quantized_layer import Levels, QuantizedLayer
from nasctl.networks.quantized_weights import QuantizedWeights

KEPT_BYTES = 256 << 20  # of quantised layers that are kept in memory


class LayerChoice(NamedTuple):
    """How a layer is quantised: bits of its weights, bits of its input, and the levels of both."""

    weights: int
    inputs: int
    levels: Levels = "uniform"
    input_levels: Levels = "uniform"

    @property
    def input_choice(self) -> InputChoice:
        """Bits and levels of the input."""
        return self.inputs, self.input_levels


class Quantizer:
    """Quantised variants of a trained network.

    The weights of a layer depend on its own choice alone: norms are folded first, ranges and mean inputs are those of
    the network in float32, and the bias is corrected for the shift of the mean output that rounding its weights and its
    input causes on the calibration images.

    Args:
        base: The trained network.
        folded: The network with its norms folded.
        pixels: Calibration images with values from 0 to 255, (N, C, H, W).
        inputs: Bits and levels that inputs may have.
        per_tensor: Whether all channels of a layer share one scale.
        learned: Whether rounding and exponents are learned; see `learned_tensor`.

    References:
        Nagel et al., "Data-free quantization through weight equalization and bias correction", ICCV 2019,
        arXiv:1906.04721, section 4.2, with mean inputs that are measured.
    """

    def __init__(
        self,
        base: TrainedBase,
        folded: FoldedNetwork,
        pixels: Tensor,
        inputs: Sequence[InputChoice],
        per_tensor: bool,
        learned: bool = False,
    ) -> None:
        self.folded, self._per_tensor, self._learned = folded, per_tensor, learned
        self._base, self._pixels, self._inputs = base, pixels, inputs
        self._kept: OrderedDict[tuple[int, LayerChoice], QuantizedWeights] = OrderedDict()
        self._bytes = 0
        self._tensors: dict[tuple[int, int, Levels], QuantizedTensor] = {}  # learned ones, of any bits of inputs

    def module(self, choices: Mapping[int, LayerChoice]) -> nn.Module:
        """Return a new module of the folded network with quantised layers, in evaluation mode.

        Args:
            choices: The choice of each layer that can be quantised, by position in the folded network.
        """
        layers = {place: self.layer(place, choice) for place, choice in choices.items()}
        with torch.random.fork_rng(devices=[]):  # the constructors draw weights first
            made = self.folded.network(layers).module().eval()
        state = {
            f"{attribute_name(self.folded.nodes[place].name)}.{key}": value
            for place, choice in choices.items()
            for key, value in self.part(place, choice).state_dict().items()
        }
        made.load_state_dict({**self._others, **state})
        return made

    def layer(self, place: int, choice: LayerChoice) -> QuantizedLayer:
        """Return a layer with a choice, as data."""
        return quantized_layer(self.folded.nodes[place], choice, self._per_tensor)

    def plain(self, place: int) -> nn.Module:
        """Return the module of a layer that stays as it is. It is shared: the caller must not change it."""
        return self._plain[place]

    def part(self, place: int, choice: LayerChoice) -> QuantizedWeights:
        """Return the module of a quantised layer. It is shared: the caller must not change it."""
        key = place, choice
        if (found := self._kept.get(key)) is not None:
            self._kept.move_to_end(key)
            return found
        with deterministic_torch(1):  # roundings and biases must not depend on the threads of a search or an export
            found = self._kept[key] = self._quantized(place, choice)
        self._bytes += _size(found)
        while self._bytes > KEPT_BYTES and len(self._kept) > 1:
            self._bytes -= _size(self._kept.popitem(last=False)[1])
        return found

    @torch.no_grad()
    def _quantized(self, place: int, choice: LayerChoice) -> QuantizedWeights:
        """Return the module of a layer with a choice."""
        node, (weight, bias) = self.folded.nodes[place], self.folded.folded[place]
        with torch.random.fork_rng(devices=[]):  # the constructor draws weights first
            made = construct(self.layer(place, choice).module(*node.in_shapes)).eval()
        assert isinstance(made, QuantizedWeights)
        found, given = self._tensor(place, choice), self._statistics[place]
        range_ = given.ranges[choice.input_choice]
        own = {"input_exponent": torch.tensor(range_.exponent)} if choice.input_levels == "power" else {}
        made.load_state_dict(
            {
                **own,
                "packed": found.packed,
                "scale": found.scale,
                "exponent": torch.tensor(found.exponent),
                "input_scale": torch.tensor(range_.step),
                "input_low": torch.tensor(range_.low),
                "input_high": torch.tensor(range_.high),
                "layer.bias": bias,
            }
        )
        made.layer.bias.copy_(bias + _shift(weight, made.layer.weight, given, choice.input_choice))
        return made

    def _tensor(self, place: int, choice: LayerChoice) -> QuantizedTensor:
        """Return the weights of a layer with a choice."""
        weight = self.folded.folded[place].weight
        if not self._learned or choice.weights > LEARNED_BITS:
            return quantized_tensor(weight, choice.weights, choice.levels, self._per_tensor)
        key = place, choice.weights, choice.levels
        if key not in self._tensors:
            nearest = quantized_tensor(weight, choice.weights, choice.levels, self._per_tensor)
            found = learned_tensor(weight, nearest, self._moments[place], choice.levels == "power")
            self._tensors[key] = found._replace(whole=found.whole.to(torch.int8))
        return self._tensors[key]

    @cached_property
    def _statistics(self) -> dict[int, InputStatistics]:
        module = self._base.module()
        return input_statistics(module, self._parts(module), self._pixels, self._base.normalised, self._inputs)

    @cached_property
    def _moments(self) -> dict[int, InputMoments]:
        module, means = self._base.module(), {place: one.mean for place, one in self._statistics.items()}
        images = batches(self._pixels, self._base.normalised)
        return input_moments(module, self._parts(module), means, images, len(self._pixels))

    def _parts(self, module: nn.Module) -> dict[int, nn.Module]:
        """Return the layers of a module that can be quantised, by position."""
        names = {place: attribute_name(self.folded.nodes[place].name) for place in self.folded.folded}
        return {place: module.get_submodule(name) for place, name in names.items()}

    @cached_property
    def _others(self) -> dict[str, Tensor]:
        """The state of all layers that stay as they are."""
        own = {attribute_name(node.name) for k, node in enumerate(self.folded.nodes) if k not in self.folded.folded}
        return {key: value for key, value in self._base.state.items() if key.partition(".")[0] in own}

    @cached_property
    def _plain(self) -> dict[int, nn.Module]:
        """The modules of the layers that stay as they are, by position."""
        module = self._base.module()
        nodes = enumerate(self.folded.nodes)
        return {k: module.get_submodule(attribute_name(node.name)) for k, node in nodes if k not in self.folded.folded}


def quantized_layer(node: Node, choice: LayerChoice, per_tensor: bool) -> QuantizedLayer:
    """Return a layer with a choice, as data."""
    return QuantizedLayer(node.layer, choice.weights, choice.inputs, choice.levels, per_tensor, choice.input_levels)


def _shift(weight: Tensor, rounded: Tensor, given: InputStatistics, choice: InputChoice) -> Tensor:
    """Return the mean output in float32 minus the mean quantised output for each channel, (outputs,) float32."""

    def mean_output(weights: Tensor, columns: Tensor) -> Tensor:
        groups, length = columns.shape
        return (weights.double().view(groups, -1, length) @ columns.unsqueeze(2)).flatten()

    # The mean output is the output for the mean column, because the layer is linear.
    return (mean_output(weight, given.mean) - mean_output(rounded, given.rounded_mean[choice])).float()


def _size(part: nn.Module) -> int:
    return sum(one.nbytes for one in (*part.parameters(), *part.buffers()))


__all__ = ["LayerChoice", "Quantizer", "quantized_layer"]

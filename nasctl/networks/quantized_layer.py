"""A quantised layer as data: a convolution or linear layer with the bits of its weights and inputs."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal

from nasctl.networks.node import Call, Layer, Node, Shape

Levels = Literal["uniform", "power"]  # the spacing of the values that a weight or an input can have

SCALE_BITS = 32  # of a bias, a scale, an exponent and a zero point: these stay float32

# Modules of torch.nn whose weights can be quantised: each multiplies its input with the one parameter `weight`, whose
# first axis is that of the outputs.
QUANTIZABLE = ("nn.Conv1d", "nn.Conv2d", "nn.Conv3d", "nn.Linear")


@dataclass(frozen=True, slots=True)
class QuantizedLayer(Layer):
    """A convolution or linear layer that computes with quantised weights and inputs; it always has a bias.

    Args:
        layer: The layer in float32.
        weights: Bits of each weight.
        inputs: Bits of each value of the input.
        levels: Spacing of the values of a weight.
        per_tensor: Whether all output channels share one scale.
        input_levels: Spacing of the values of the input.
    """

    layer: Layer
    weights: int
    inputs: int
    levels: Levels = "uniform"
    per_tensor: bool = False
    input_levels: Levels = "uniform"

    def out(self, *inputs: Shape) -> Shape:
        return self.layer.out(*inputs)

    def params(self, *inputs: Shape) -> int:
        return self.weight_number(*inputs) + self._outputs(*inputs)

    def macs(self, *inputs: Shape) -> int:
        return self.layer.macs(*inputs)

    def module(self, *inputs: Shape) -> Call:
        call = self.layer.module(*inputs)
        assert isinstance(call.factory, str)
        options = {key: value for key, value in call.options.items() if key != "bias"}
        own = {"weight_bits": self.weights, "input_bits": self.inputs, "scales": self.scales(*inputs)}
        if self.input_levels == "power":
            own["power_inputs"] = True
        return Call("QuantizedWeights", call.factory.removeprefix("nn."), *call.args, **options, **own)

    @property
    def widened(self) -> Layer:
        """The layer in float32 with a bias, which costs what a runtime without arithmetic of these bits needs."""
        if any(field.name == "bias" for field in fields(self.layer)):  # type: ignore[arg-type]  # a dataclass
            return replace(self.layer, bias=True)  # type: ignore[type-var]
        return self.layer

    def weight_number(self, *inputs: Shape) -> int:
        """Return the number of weights, without biases."""
        return parameter_numbers(self.layer, *inputs)[0]

    def scales(self, *inputs: Shape) -> int:
        """Return the number of scales of the weights."""
        return 1 if self.per_tensor else self._outputs(*inputs)

    def stored_bits(self, *inputs: Shape) -> int:
        """Return the bits of storage: packed weights in whole bytes, and biases, scales and the rest in float32.

        The rest are the exponents of power levels, and the least and the greatest value of the input.
        """
        packed = -(-self.weight_number(*inputs) * self.weights // 8) * 8
        exponents = (self.levels, self.input_levels).count("power")
        return packed + SCALE_BITS * (self._outputs(*inputs) + self.scales(*inputs) + exponents + 2)

    def bit_operations(self, *inputs: Shape) -> int:
        """Return the multiply-accumulates for one example, times the bits of the weights, times those of the inputs."""
        return self.macs(*inputs) * self.weights * self.inputs

    def _outputs(self, *inputs: Shape) -> int:
        return _output_number(self.layer, *inputs)


def parameter_numbers(layer: Layer, *inputs: Shape) -> tuple[int, int]:
    """Return the number of weights of a layer of `QUANTIZABLE`, and that of its biases."""
    biases = _output_number(layer, *inputs) * bool(layer.module(*inputs).options.get("bias", True))
    return layer.params(*inputs) - biases, biases


def _output_number(layer: Layer, *inputs: Shape) -> int:
    """Return the number of output channels of a layer of `QUANTIZABLE`."""
    out = layer.out(*inputs)
    return out[-1] if layer.module(*inputs).factory == "nn.Linear" else out[0]


def quantizable(node: Node) -> bool:
    """Return whether a layer can be quantised: its weights are its own, and it takes whole examples."""
    call = node.layer.module(*node.in_shapes)
    plain = not node.module_of and not node.shared and node.layer.rows is None
    return plain and isinstance(call.factory, str) and call.factory in QUANTIZABLE

"""Quantised layers of an ONNX file as QuantizeLinear and DequantizeLinear nodes (QDQ), which runtimes run as integers.

torch's exporter writes the rounding of a layer's input as Div, Round, Clip and Mul, and its weights as float32. Here a
layer with uniform levels and at most 8 bits gets the integers themselves, with the same scales. Weights of fewer bits
take 8 bits in the file, because runtimes have no narrower type for convolutions. Where weights and inputs have few
bits, a sum behind the layer adds its bias. All other layers stay in float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from nasctl.networks.onnx_graph import drop_unused
from nasctl.networks.quantized_weights import QuantizedWeights

if TYPE_CHECKING:
    import onnx

INTEGER_BITS = 8

# Least sum of the bits of weights and inputs with which a layer keeps its bias. ONNX Runtime rounds the bias of a layer
# to multiples of the least product of a weight and an input, which is coarse where these have few bits.
BIAS_BITS = 11

ROUNDING = ("Mul", "Clip", "Round", "Div")  # operators that round the input of a layer, the last one first


def integer_layers(module: nn.Module) -> dict[str, QuantizedWeights]:
    """Return the layers of a module that an ONNX file can hold as 8-bit integers, by name."""
    found = {name: part for name, part in module.named_modules() if isinstance(part, QuantizedWeights)}
    return {
        name: part
        for name, part in found.items()
        if float(part.exponent) == 1.0
        and not part.power_inputs
        and max(part.weight_bits, part.input_bits) <= INTEGER_BITS
    }


def with_integers(content: bytes, layers: Mapping[str, QuantizedWeights]) -> bytes:
    """Return an ONNX file with the integers of some layers.

    Args:
        content: The file as torch's exporter makes it.
        layers: The layers as `integer_layers` returns them, by the names of their initialisers in the file.

    Raises:
        ValueError: The file does not have a layer as torch's exporter writes it.
    """
    import onnx

    proto = onnx.load_from_string(content)
    graph = proto.graph
    makers = {name: node for node in graph.node for name in node.output}
    # Layers that round one value alike share the rounded value: runtimes merge a layer with one reader alone.
    rounded: dict[tuple[str, float, float, float], str] = {}
    done, flipped = set[str](), _transposed_weights(graph, layers)
    for node in list(graph.node):
        weight = node.input[1] if len(node.input) > 1 else ""
        transposed = weight in flipped
        name = flipped[weight] if transposed else weight.removesuffix(".layer.weight")
        if name in layers and weight != name:
            value, layer = _unrounded(node, makers, name), layers[name]
            key = value, float(layer.input_scale), float(layer.input_low), float(layer.input_high)
            if key not in rounded:
                rounded[key] = _rounded(graph, value, name, layer)
            node.input[0] = rounded[key]
            _quantise_weight(graph, node, name, layer, transposed)
            if len(node.input) > 2 and layer.weight_bits + layer.input_bits < BIAS_BITS:
                _separate_bias(graph, node, name, layer)
            done.add(name)
    if missing := sorted(layers.keys() - done):
        raise ValueError(f"no operator reads the weights of {missing[0]}")
    drop_unused(graph)
    _sort(graph)
    onnx.checker.check_model(proto, full_check=True)
    found: bytes = proto.SerializeToString()
    return found


def _transposed_weights(graph: onnx.GraphProto, layers: Mapping[str, QuantizedWeights]) -> dict[str, str]:
    """Return the layers whose transposed weights products read, by the names of these values.

    torch's exporter writes a linear layer on a sequence so, and stores weights that are not too large transposed.
    """
    import onnx

    read = {node.input[1] for node in graph.node if node.op_type == "MatMul"}
    found = {
        node.output[0]: node.input[0].removesuffix(".layer.weight")
        for node in graph.node
        if node.op_type == "Transpose" and node.output[0] in read and node.input[0].endswith(".layer.weight")
    }
    stored = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer if one.name in read}
    for name, part in layers.items():
        weight = part.layer.weight.detach().numpy().T
        same = (key for key, value in stored.items() if key not in found and np.array_equal(value, weight))
        if (key := next(same, None)) is not None:
            found[key] = name
    return found


def _unrounded(node: onnx.NodeProto, makers: Mapping[str, onnx.NodeProto], name: str) -> str:
    """Return the value that a layer rounds and reads.

    Raises:
        ValueError: The layer does not round its input as torch's exporter writes it.
    """
    value = str(node.input[0])
    for operator in ROUNDING:
        maker = makers.get(value)
        if maker is None or maker.op_type != operator:
            raise ValueError(f"the input of {name} is not rounded by {', '.join(reversed(ROUNDING))}")
        value = str(maker.input[0])
    return value


def _rounded(graph: onnx.GraphProto, value: str, name: str, layer: QuantizedWeights) -> str:
    """Add a pair of QuantizeLinear and DequantizeLinear that rounds the input of a layer, and return its output."""
    import onnx

    scale, low, high = (float(one) for one in (layer.input_scale, layer.input_low, layer.input_high))
    names = [f"{name}.input.{part}" for part in ("scale", "zero", "least", "greatest", "clipped", "integer", "value")]
    _constant(graph, names[0], np.float32(scale))
    _constant(graph, names[1], np.uint8(-low))
    if layer.input_bits < INTEGER_BITS:  # QuantizeLinear clips to 8 bits
        _constant(graph, names[2], np.float32(low * scale))
        _constant(graph, names[3], np.float32(high * scale))
        graph.node.append(onnx.helper.make_node("Clip", [value, *names[2:4]], [names[4]], f"{name}.clip"))
        value = names[4]
    graph.node.append(onnx.helper.make_node("QuantizeLinear", [value, *names[:2]], [names[5]], f"{name}.quantize"))
    pair = [names[5], *names[:2]]
    graph.node.append(onnx.helper.make_node("DequantizeLinear", pair, [names[6]], f"{name}.dequantize"))
    return names[6]


def _quantise_weight(
    graph: onnx.GraphProto, node: onnx.NodeProto, name: str, layer: QuantizedWeights, transposed: bool
) -> None:
    """Replace the weights of a layer by integers behind a DequantizeLinear, perhaps (inputs, outputs)."""
    import onnx

    step = layer.scale / (2 ** (layer.weight_bits - 1) - 1)
    shape = [-1, *[1] * (layer.layer.weight.ndim - 1)]
    whole = (layer.layer.weight / step.view(shape)).round().to(torch.int8).numpy()
    names = [f"{name}.weight.{part}" for part in ("integer", "scale", "zero", "value")]
    each = len(step) > 1
    _constant(graph, names[0], whole.T if transposed else whole)
    _constant(graph, names[1], step.numpy() if each else step.numpy()[0])
    _constant(graph, names[2], np.zeros(len(step), np.int8) if each else np.int8(0))
    made = onnx.helper.make_node("DequantizeLinear", names[:3], [names[3]], f"{name}.weights")
    if each:
        made.attribute.append(onnx.helper.make_attribute("axis", int(transposed)))
    graph.node.append(made)
    node.input[1] = names[3]


def _separate_bias(graph: onnx.GraphProto, node: onnx.NodeProto, name: str, layer: QuantizedWeights) -> None:
    """Have a sum behind a layer add its bias."""
    import onnx

    bias, output = f"{name}.bias", node.output[0]
    shape = [-1, *[1] * (layer.layer.weight.ndim - 2)]
    _constant(graph, bias, layer.layer.bias.detach().view(shape).numpy())
    del node.input[2]
    node.output[0] = f"{name}.products"
    graph.node.append(onnx.helper.make_node("Add", [node.output[0], bias], [output], f"{name}.sum"))


def _constant(graph: onnx.GraphProto, name: str, value: np.ndarray | np.generic) -> None:
    import onnx

    graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), name))


def _sort(graph: onnx.GraphProto) -> None:
    """Order the nodes so that each stands behind the nodes that it reads."""
    known = {one.name for one in (*graph.initializer, *graph.input)} | {""}
    waiting, done = list(graph.node), []
    while waiting:
        ready = [node for node in waiting if known.issuperset(node.input)]
        if not ready:
            raise ValueError(f"the nodes from {waiting[0].name} on read values that no node computes")
        done += ready
        known.update(name for node in ready for name in node.output)
        waiting = [node for node in waiting if not known.issuperset(node.output)]
    del graph.node[:]
    graph.node.extend(done)


__all__ = ["integer_layers", "with_integers"]

"""Static int8 quantisation of ONNX files by ONNX Runtime's quantiser: of whole networks, and of blocks within one."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from nasctl.networks.onnx_graph import drop_unused

if TYPE_CHECKING:
    import onnx

NEIGHBOUR = "neighbour"  # beginning of the names of the nodes that stand for the neighbours of a block
BEFORE, BEHIND = f"{NEIGHBOUR}.before.", f"{NEIGHBOUR}.behind."  # of these nodes, with the number of the value
SUMMAND = f"{NEIGHBOUR}.summand"  # name of the number that these nodes add
CHANNELS_LAST, CHANNELS_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)  # order of the axes of an image, and the way back
LITTLE = np.float32(1e-3)  # that number: the ranges of a block's values stay what they are


def quantised_onnx(content: bytes, batches: Iterable[Mapping[str, np.ndarray]], block: bool = False) -> bytes:
    """Return an ONNX file whose layers are int8, surrounded by QuantizeLinear and DequantizeLinear (QDQ).

    Weights are signed, with a scale for each output channel, or for each tensor in networks with matrix products, where
    ONNX Runtime's kernel takes no other. Activations are unsigned, with a scale and a zero point for each tensor, from
    the least and greatest values on the batches.

    Args:
        content: The float32 file.
        batches: Inputs by name, from which the ranges of activations are taken.
        block: Whether the file is a block of a network, between layers that are quantised too. Its inputs and outputs
            of floating-point numbers are then the integers that pass from block to block, with type uint8; images are
            (B, H, W, C).

    References:
        Jacob et al., "Quantization and training of neural networks", CVPR 2018, arXiv:1712.05877.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static  # type: ignore[import-untyped]
    from onnxruntime.quantization.shape_inference import quant_pre_process  # type: ignore[import-untyped]

    given = list(batches)
    with TemporaryDirectory() as folder, _quiet():
        source, prepared, target = (Path(folder) / f"{name}.onnx" for name in ("source", "prepared", "target"))
        source.write_bytes(content)
        quant_pre_process(source, prepared)
        proto = onnx.load(prepared)
        if block:
            given = _between_neighbours(proto.graph, given)
            onnx.save(proto, prepared)
        quantize_static(
            prepared,
            target,
            _Batches(given),
            quant_format=QuantFormat.QDQ,
            per_channel=not any(node.op_type == "MatMul" for node in proto.graph.node),
            activation_type=QuantType.QUInt8,  # x86 runs signed activations up to 20 times as slowly
            weight_type=QuantType.QInt8,
        )
        quantised = onnx.load(target)
    if block:
        _cut_out(quantised.graph)
    quantised.metadata_props.clear()  # the quantiser keeps notes for itself in them
    quantised.metadata_props.extend(onnx.load_from_string(content).metadata_props)
    found: bytes = quantised.SerializeToString()
    return found


class _Batches:
    """Batches for ONNX Runtime's calibration, which calls `get_next` until it returns None.

    Args:
        batches: Inputs by name.
    """

    def __init__(self, batches: Iterable[Mapping[str, np.ndarray]]) -> None:
        self._batches = iter(batches)

    def get_next(self) -> Mapping[str, np.ndarray] | None:
        """Return the inputs of the next batch by name."""
        return next(self._batches, None)


def _between_neighbours(
    graph: onnx.GraphProto, batches: list[Mapping[str, np.ndarray]]
) -> list[Mapping[str, np.ndarray]]:
    """Add a sum before each input and behind each output of a block, so that the quantiser quantises both.

    The quantiser quantises the values that sums read and write, as it does between the layers of a network. Inputs that
    are no floating-point numbers, such as tokens, and outputs that are inputs stay as they are.

    Returns:
        The batches by the new names of the inputs.
    """
    import onnx

    names: dict[str, str] = {}
    before, behind = [], []
    given = {one.name for one in graph.input}
    for k, value in enumerate(graph.input):
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT:
            names[value.name] = f"{NEIGHBOUR}.{value.name}"
            pair = [names[value.name], SUMMAND]
            before.append(onnx.helper.make_node("Add", pair, [value.name], f"{BEFORE}{k}"))
            value.name = names[value.name]
    for k, value in enumerate(graph.output):
        if value.name not in given:
            to = f"{NEIGHBOUR}.{value.name}"
            behind.append(onnx.helper.make_node("Add", [value.name, SUMMAND], [to], f"{BEHIND}{k}"))
            value.name = to
    nodes = [*before, *graph.node, *behind]
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.append(onnx.numpy_helper.from_array(np.array([LITTLE]), SUMMAND))
    return [{names.get(name, name): array for name, array in batch.items()} for batch in batches]


def _cut_out(graph: onnx.GraphProto) -> None:
    """Remove the neighbours of a quantised block, so that it takes and returns the integers between it and them.

    A value that the quantiser left alone stays a floating-point number.
    """
    makers = {name: node for node in graph.node for name in node.output}
    steps = {node.input[0]: node for node in graph.node if node.op_type == "QuantizeLinear"}
    for node in list(graph.node):
        if node.name.startswith(BEFORE):
            step = steps.get(node.output[0])
            _replace(graph, graph.input[int(node.name.removeprefix(BEFORE))], node.output[0], step)
            graph.node.remove(node if step is None else step)
        elif node.name.startswith(BEHIND):
            step = makers.get(node.input[0])
            found = step is not None and step.op_type == "DequantizeLinear"
            _replace(graph, graph.output[int(node.name.removeprefix(BEHIND))], node.input[0], step if found else None)
    drop_unused(graph)


def _replace(graph: onnx.GraphProto, value: onnx.ValueInfoProto, name: str, step: onnx.NodeProto | None) -> None:
    """Make a value an input or output of a graph, or the integers of it if there is a step to them.

    Integers of images have the channels behind, as runtimes have them between the layers of a network. With any other
    order, a block would begin and end with a change of order that the network does not have.
    """
    import onnx

    value.name = name
    if step is None:
        return
    taken = step.op_type == "QuantizeLinear"
    value.name = integers = step.output[0] if taken else step.input[0]
    value.type.tensor_type.elem_type = onnx.TensorProto.UINT8
    sizes = [size.dim_value for size in value.type.tensor_type.shape.dim]
    if len(sizes) != 4:
        return
    value.name = f"{integers}.channels_last"
    for size, number in zip(value.type.tensor_type.shape.dim, (sizes[k] for k in CHANNELS_LAST), strict=True):
        size.dim_value = number
    pair, order = (value.name, integers), CHANNELS_FIRST
    if not taken:
        pair, order = (integers, value.name), CHANNELS_LAST
    made = onnx.helper.make_node("Transpose", pair[:1], pair[1:], f"{value.name}.order", perm=order)
    nodes = [made, *graph.node] if taken else [*graph.node, made]
    del graph.node[:]
    graph.node.extend(nodes)


@contextmanager
def _quiet() -> Iterator[None]:
    """Drop what ONNX Runtime's quantiser logs, which is advice for its programmers."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


__all__ = ["quantised_onnx"]

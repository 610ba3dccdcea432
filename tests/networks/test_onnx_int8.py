"""ONNX files in int8: whole networks, and blocks that take and return the integers between neighbours."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info
from onnx.numpy_helper import from_array

from nasctl.api import Builder, ConvNormAct
from nasctl.hardware.profiling.network_call import network_call
from nasctl.hardware.profiling.timed_network import TimedNetwork
from nasctl.networks.onnx_int8 import quantised_onnx

UINT8, FLOAT = onnx.TensorProto.UINT8, onnx.TensorProto.FLOAT


def chain():
    """A file of two convolutions of 3x3 with ReLU."""
    random, nodes, weights, name = np.random.default_rng(0), [], [], "input0"
    for k, shape in enumerate(((4, 3, 3, 3), (4, 4, 3, 3))):
        weights.append(from_array(random.standard_normal(shape).astype(np.float32), f"w{k}"))
        nodes += [
            make_node("Conv", [name, f"w{k}"], [f"c{k}"], f"c{k}", pads=[1] * 4),
            make_node("Relu", [f"c{k}"], [f"r{k}"], f"r{k}"),
        ]
        name = f"r{k}"
    ends = [[make_tensor_value_info(one, FLOAT, (2, size, 8, 8))] for one, size in (("input0", 3), (name, 4))]
    made = make_model(make_graph(nodes, "chain", *ends, weights), opset_imports=[make_opsetid("", 18)])
    made.ir_version = 9
    return made.SerializeToString()


def types(content):
    graph = onnx.load_from_string(content).graph
    return [one.type.tensor_type.elem_type for one in (*graph.input, *graph.output)]


def steps(content):
    """The numbers of QuantizeLinear and DequantizeLinear nodes, without those of weights and biases."""
    graph = onnx.load_from_string(content).graph
    constants = {one.name for one in graph.initializer}
    kinds = [node.op_type for node in graph.node if node.input[0] not in constants]
    return kinds.count("QuantizeLinear"), kinds.count("DequantizeLinear")


def scales(content, operator, name):
    """The scale and zero point of the integers that are an input or output of that name."""
    name = name.removesuffix(".channels_last")
    graph = onnx.load_from_string(content).graph
    (node,) = [one for one in graph.node if one.op_type == operator and name in (one.input[0], one.output[0])]
    values = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}
    return float(values[node.input[1]]), int(values[node.input[2]])


def test_a_block_takes_and_returns_integers_and_a_network_numbers():
    content, image = chain(), np.random.default_rng(1).standard_normal((2, 3, 8, 8)).astype(np.float32)
    whole, block = (quantised_onnx(content, [{"input0": image}], one) for one in (False, True))
    assert (types(whole), types(block)) == ([FLOAT, FLOAT], [UINT8, UINT8])
    assert (steps(whole), steps(block)) == ((3, 3), (2, 2))  # the input's and the output's are the neighbours' part
    assert "neighbour" not in onnx.printer.to_text(onnx.load_from_string(block))
    session = onnxruntime.InferenceSession(block)
    (given,), (found,) = session.get_inputs(), session.get_outputs()
    scale, zero = scales(block, "DequantizeLinear", given.name)
    integers = np.clip(np.round(image / scale) + zero, 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
    (out,) = session.run(None, {given.name: integers})
    scale, zero = scales(block, "QuantizeLinear", found.name)
    (expected,) = onnxruntime.InferenceSession(content).run(None, {"input0": image})
    found = scale * (out.astype(float) - zero).transpose(0, 3, 1, 2)
    assert np.abs(found - expected).max() < 0.05 * expected.max()


@pytest.mark.slow  # torch's exporter takes seconds
def test_timed_blocks_have_inputs_of_their_types(tmp_path):
    net = Builder((3, 8, 8))
    network = net.build(net.add(ConvNormAct(4, 3), *net.inputs, name="layer"))
    for block in (False, True):
        timed = TimedNetwork(network, 3, "int8", block, tmp_path / f"{block}.onnx")
        (name,) = timed.feed
        assert timed.feed[name].shape == ((3, 8, 8, 3) if block else (3, 3, 8, 8))
        assert timed.feed[name].dtype == (np.uint8 if block else np.float32)
        assert TimedNetwork(network, 3, "int8", block, timed.file).onnx_content == timed.onnx_content
        assert network_call(network, "onnxruntime", "cpu", 1, 3, "int8", timed.file, block)()[0].shape[:3:2] == (3, 8)

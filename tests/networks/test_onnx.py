"""ONNX files are checked before anyone gets them."""

from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from nasctl import __version__
from nasctl.api import Builder, ConvNormAct, NasctlError
from nasctl.export import export
from nasctl.export.formats import FORMATS
from nasctl.hardware.profiling.network_call import network_call
from nasctl.networks.onnx import to_onnx

SMALL = ("nb201:channels=4,cells=1", (3, 1, 2, 1, 4, 3))


def network():
    net = Builder((3, 8, 8))
    return net.build(net.add(ConvNormAct(4, 3), *net.inputs, name="stem"))


@pytest.fixture
def checked(monkeypatch):
    """Note the programs that the ONNX checker sees, and whether it infers shapes too."""
    seen, check = [], onnx.checker.check_model
    monkeypatch.setattr(onnx.checker, "check_model", lambda proto, full_check=False: seen.append((proto, full_check)))
    yield seen
    for proto, _ in seen:
        check(proto, full_check=True)


@pytest.fixture
def no_such_operator(monkeypatch):
    """Let torch's exporter return a program that no runtime has the operator of."""
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node("NoSuchOperator", ["x"], ["y"])
    out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "wrong", [value], [out]))
    monkeypatch.setattr(torch.onnx, "export", lambda *args, **options: SimpleNamespace(model_proto=model))


def test_a_module_is_exported_for_inputs_of_one_shape(checked):
    module = network().module().eval()
    x = torch.randn(2, 3, 8, 8)
    content = to_onnx(module, [x])
    ((proto, full),) = checked
    assert full
    assert content == proto.SerializeToString()
    assert proto.producer_name == "pytorch"
    assert [node.metadata_props for node in proto.graph.node if node.metadata_props] == []
    session = onnxruntime.InferenceSession(content)
    assert [(one.name, one.shape) for one in session.get_inputs()] == [("input0", [2, 3, 8, 8])]
    (found,) = session.run(None, {"input0": x.numpy()})
    np.testing.assert_allclose(found, module(x).detach().numpy(), rtol=0, atol=1e-5)


def test_every_user_of_onnx_files_gets_a_checked_one(checked, tmp_path):
    network_call(network(), "onnxruntime", "cpu", 1, 1)
    assert [(proto.producer_name, full) for proto, full in checked] == [("pytorch", True)]
    FORMATS["onnx"].write(export.model(*SMALL), tmp_path / "net.onnx")
    ((proto, full),) = checked[1:]
    assert full
    assert (proto.producer_name, proto.producer_version) == ("nasctl", __version__)
    assert {one.key for one in proto.metadata_props} > {"id", "space", "genome"}
    assert (tmp_path / "net.onnx").read_bytes() == proto.SerializeToString()


@pytest.mark.usefixtures("no_such_operator")
def test_a_program_that_the_checker_refuses_is_not_handed_out(tmp_path):
    with pytest.raises(NasctlError, match=r"the ONNX checker refuses torch's program \(.*NoSuchOperator"):
        to_onnx(nn.ReLU(), [torch.zeros(1)])
    with pytest.raises(NasctlError, match="the ONNX checker refuses"):
        network_call(network(), "onnxruntime", "cpu", 1, 1, file=tmp_path / "kept.onnx")
    with pytest.raises(NasctlError, match="the ONNX checker refuses"):
        export.export(export.model(*SMALL), {"onnx": tmp_path / "net.onnx"})
    assert list(tmp_path.iterdir()) == []


def test_without_a_program_the_error_says_so(monkeypatch):
    monkeypatch.setattr(torch.onnx, "export", lambda *args, **options: None)
    with pytest.raises(NasctlError, match="torch made no program; choose another format or runtime"):
        to_onnx(nn.ReLU(), [torch.zeros(1)])

"""ONNX files are quantised by ONNX Runtime's own functions, and the quantised files run."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnxruntime.quantization import QuantFormat, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from nasctl import registry
from nasctl.export import export
from nasctl.export.formats import FORMATS

NETWORKS = {
    "nb201:channels=4,cells=1": (3, 1, 2, 1, 4, 3),
    "mbconv:width=0.5,resolution=32,classes=10": (2, *[0] * 44),
    "bert:length=8,vocabulary=100": None,
}


class Examples:
    """Batches of the input of a file, as ONNX Runtime's calibration asks for them."""

    def __init__(self, examples):
        self.batches = iter([{"input": examples}] * 2)

    def get_next(self):
        return next(self.batches, None)


@pytest.fixture(scope="module", params=NETWORKS, ids=lambda spec: spec.partition(":")[0])
def written(request, tmp_path_factory):
    """An ONNX file, and examples for it."""
    smallest = (0,) * len(registry.create("spaces", request.param).genes)
    model = export.model(request.param, NETWORKS[request.param] or smallest)
    path = tmp_path_factory.mktemp("onnx") / "net.onnx"
    FORMATS["onnx"].write(model, path)
    return path, model.examples.numpy(), model.outputs.numpy()


def outputs(path, examples):
    (found,) = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"input": examples})
    return found


def test_shapes_of_initialisers_are_stated_once(written):
    graph = onnx.load(written[0]).graph
    assert {one.name for one in graph.initializer} & {one.name for one in graph.value_info} == set()
    assert len(graph.value_info) > 0


def test_dynamic_quantisation(written, tmp_path):
    path, examples, expected = written
    quantize_dynamic(path, tmp_path / "int8.onnx")
    found = outputs(tmp_path / "int8.onnx", examples)
    assert found.shape == expected.shape
    assert np.isfinite(found).all()
    assert (tmp_path / "int8.onnx").stat().st_size < path.stat().st_size


@pytest.mark.parametrize("form", [QuantFormat.QDQ, QuantFormat.QOperator], ids=str)
def test_static_quantisation(form, written, tmp_path):
    path, examples, expected = written
    quantize_static(path, tmp_path / "int8.onnx", Examples(examples), quant_format=form)
    assert outputs(tmp_path / "int8.onnx", examples).shape == expected.shape


def test_preparation_changes_no_output(written, tmp_path):
    path, examples, expected = written
    quant_pre_process(path, tmp_path / "prepared.onnx")
    found = outputs(tmp_path / "prepared.onnx", examples)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * abs(expected).max())
    quantize_dynamic(tmp_path / "prepared.onnx", tmp_path / "int8.onnx")
    assert outputs(tmp_path / "int8.onnx", examples).shape == expected.shape

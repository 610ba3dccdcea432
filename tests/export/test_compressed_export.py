"""Exports of quantised networks: packed weights, and the integers of ONNX files."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from nasctl import registry
from nasctl.commands.export import _sentences
from nasctl.compression.compressed_space import CompressedSpace
from nasctl.compression.quantizer import Quantizer
from nasctl.errors import NasctlError
from nasctl.export import compressed
from nasctl.export.compressed import compressed_model
from nasctl.export.export import Exported, destinations, export
from nasctl.export.formats import FORMATS
from nasctl.export.integer_onnx import BIAS_BITS, integer_layers
from nasctl.export.request import ExportRequest

OWN = """
import torch
from torch import nn

SIZE, MEAN, DEVIATION = (8, 8), (77.0,), (95.0,)


def net():
    torch.manual_seed(0)
    made = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 6, 3, groups=2, bias=False), nn.ReLU())
    return nn.Sequential(*made, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 10))
"""


def model(tmp_path, weights, inputs, levels, input_levels="uniform"):
    path = tmp_path / "own.py"
    path.write_text(OWN)
    spec = f"quantized:of={path}:net,data=digits,weights={weights},activations={inputs},levels={levels}"
    spec += f",input_levels={input_levels}"
    space = registry.create("spaces", spec)
    assert isinstance(space, CompressedSpace)
    return compressed_model(spec, space, (0,) * len(space.genes))


@pytest.mark.slow  # torch's exporter takes seconds
@pytest.mark.parametrize(
    ("weights", "inputs", "levels"), [(8, 8, "uniform"), (4, 6, "uniform"), (2, 3, "uniform"), (4, 8, "power")]
)
def test_onnx_files_hold_the_integers_of_the_search(tmp_path, weights, inputs, levels):
    import onnx

    made = model(tmp_path, weights, inputs, levels)
    paths = destinations("net", ("onnx",), tmp_path, trained=True)
    found = export(made, paths).files["onnx"].difference
    assert found.median < (0.001 if weights == 8 else 1e-5)
    graph = onnx.load(paths["onnx"]).graph
    integers = [one for one in graph.initializer if one.data_type == onnx.TensorProto.INT8 and len(one.dims) > 1]
    layers = integer_layers(made.module)
    assert len(integers) == len(layers)
    assert (len(layers) == 3) == (levels == "uniform")  # a layer whose best exponent is 1 has uniform levels
    assert all(np.abs(onnx.numpy_helper.to_array(one)).max() < 2 ** (weights - 1) for one in integers)
    operators = [node.op_type for node in graph.node]
    few = levels == "uniform" and weights + inputs < BIAS_BITS
    assert operators.count("Add") == few * sum(node.op_type in ("Conv", "Gemm") for node in graph.node)
    assert operators.count("QuantizeLinear") == len(layers)
    assert ("Round" in operators) == (levels == "power")


SEQUENCE = """
import torch
from torch import nn

SIZE, MEAN, DEVIATION = (8, 8), (77.0,), (95.0,)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches, self.wide, self.head = nn.Conv2d(1, 6, 4, 4), nn.Linear(6, 9), nn.Linear(9, 10)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        return self.head(self.wide(x).relu().mean(1))


def net():
    torch.manual_seed(0)
    return Net()
"""


@pytest.mark.slow  # torch's exporter takes seconds
def test_power_levels_of_inputs_stay_float32_in_onnx_files(tmp_path):
    made = model(tmp_path, 8, 4, "uniform", "power")
    assert not integer_layers(made.module)
    found = export(made, destinations("net", ("onnx",), tmp_path, trained=True)).files["onnx"].difference
    assert found.median < 1e-5


@pytest.mark.slow  # torch's exporter takes seconds
def test_linear_layers_on_sequences_become_integers_too(tmp_path, monkeypatch):
    import onnx

    monkeypatch.setattr(sys.modules[__name__], "OWN", SEQUENCE)
    made = model(tmp_path, 6, 8, "uniform")
    paths = destinations("net", ("onnx",), tmp_path, trained=True)
    assert export(made, paths).files["onnx"].difference.relative < 0.02
    graph = onnx.load(paths["onnx"]).graph
    shapes = [
        tuple(one.dims) for one in graph.initializer if one.data_type == onnx.TensorProto.INT8 and len(one.dims) > 1
    ]
    assert sorted(shapes) == [(6, 1, 4, 4), (6, 9), (10, 9)]
    assert not any(node.op_type == "Round" for node in graph.node)


def test_a_python_file_reads_packed_weights(tmp_path, monkeypatch):
    made = model(tmp_path, 3, 4, "power", "power")
    paths = destinations("net", ("python",), tmp_path, trained=True)
    made = replace(made, weights_name=paths["torch"].name)
    found = export(made, paths)
    assert found.files["python"].difference.absolute == 0
    state = torch.load(paths["torch"], weights_only=True)
    packed = sum(value.numel() for key, value in state.items() if key.endswith("packed"))
    numbers = [4 * 9, 6 * 2 * 9, 60]
    assert packed == sum(-(-3 * one // 8) for one in numbers)
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("net", None)
    import net

    assert torch.equal(net.logits(made.examples), made.outputs)
    sys.modules.pop("net", None)


@pytest.mark.parametrize("name", ["torch", "python", "json"])
def test_files_that_torch_runs_may_not_differ_by_steps(tmp_path, monkeypatch, name):
    made = model(tmp_path, 6, 8, "uniform")
    wrong = replace(FORMATS[name], load=lambda one, path: lambda examples: 1.01 * one.deployed(examples))
    monkeypatch.setitem(FORMATS, name, wrong)
    made, paths = replace(made, weights_name="net.pt"), destinations("net", (name,), tmp_path, trained=True)
    with pytest.raises(NasctlError, match=r"0.0001 is allowed"), torch.no_grad():
        export(made, paths)


def wrong_rows(step, change):
    """A loader of files whose outputs are wrong for every example of that step."""

    def load(made, path):
        def run(examples):
            outputs = made.deployed(examples).clone()
            outputs[::step] = change(outputs[::step])
            return outputs

        return run

    return load


@pytest.mark.parametrize(
    ("step", "change", "refusal"),
    [
        (1, lambda outputs: 1.03 * outputs, "for the median example by 0.0"),
        (20, lambda outputs: 2 * outputs, None),
        (5, lambda outputs: outputs.roll(1, 1), r"2\d% of the file's answers differ"),
    ],
)
def test_other_runtimes_may_differ_by_steps_for_few_examples(tmp_path, monkeypatch, step, change, refusal):
    made = model(tmp_path, 2, 2, "uniform")
    written = replace(FORMATS["onnx"], write=lambda one, path: path.touch(), load=wrong_rows(step, change))
    monkeypatch.setitem(FORMATS, "onnx", written)
    paths = destinations("net", ("onnx",), tmp_path, trained=True)
    if refusal is None:
        with torch.no_grad():
            found = export(made, paths, data=made.data).files["onnx"]
        assert found.difference.median == 0 < 0.02 < found.difference.relative
    else:
        with torch.no_grad(), pytest.raises(NasctlError, match=refusal):
            export(made, paths, data=made.data)


def test_variants_are_calibrated_and_judged_by_one_thread(tmp_path, monkeypatch):
    threads, single = torch.get_num_threads(), set()
    quantized, result = Quantizer._quantized, compressed._result
    monkeypatch.setattr(Quantizer, "_quantized", lambda *a: single.add(torch.get_num_threads()) or quantized(*a))
    monkeypatch.setattr(compressed, "_result", lambda *a: single.add(torch.get_num_threads()) or result(*a))
    torch.set_num_threads(2)
    try:
        model(tmp_path, 5, 7, "uniform")
        assert single == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def test_results_on_test_images_come_before_those_that_a_search_has_seen(tmp_path):
    path, said = tmp_path / "own.py", []
    path.write_text(OWN)
    spec = f"quantized:of={path}:net,data=digits,weights=4,activations=8,levels=uniform"
    made, _ = ExportRequest("0", ("json",), tmp_path, spec, tmp_path / "store.db").run(said.append)
    assert list(made.trained.result) == ["test", "validation"]
    facts = made.facts()
    assert facts["data"] == ""  # a module of a user was trained on data that is not known
    assert facts["recipe"]["calibration data"].startswith("digits split=")
    assert "Data        not known\nCalibration digits split=" in made.source
    assert "data that is not known, calibrated and judged on digits" in next(_sentences(made, Exported({}, {})))
    assert any("they flatter it" in sentence for sentence in said)

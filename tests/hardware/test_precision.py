"""Names of precisions, and what tables of integers price."""

from importlib import metadata

import pytest
from click.testing import CliRunner

from nasctl.api import Conv, MissingBlock, NasctlError, QuantizedLayer, emission_of
from nasctl.cli import cli
from nasctl.hardware.precision import NAMES, integer_bits, normal_precision
from nasctl.hardware.profiling.profile import Host
from nasctl.hardware.runtimes import load_runtime, runtime_names, runtimes_of
from nasctl.hardware.table import LatencyTable
from nasctl.hardware.tables_schema import Row

LAYER, IMAGE = Conv(4, 3), (3, 8, 8)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("INT8", "int8"),
        ("w8a8", "int8"),
        ("uint8", "int8"),
        ("FP-16", "float16"),
        ("bf16", "bfloat16"),
        ("f32", "float32"),
    ],
)
def test_a_precision_has_one_name(text, name):
    assert normal_precision(text) == name
    assert all(normal_precision(one) == one for one in NAMES)


@pytest.mark.parametrize("text", ["w4a8", "mixed", ""])
def test_what_is_no_precision_is_refused(text, tmp_path):
    with pytest.raises(NasctlError, match=r"Cannot use the precision .* float32, float16, bfloat16, int16, int8"):
        normal_precision(text)
    words = ["device", "fit", "--space", "nb201", "--csv", "no.csv", "--name", "x", "--precision", text]
    done = CliRunner().invoke(cli, words)
    assert (done.exit_code, "Cannot use the precision" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("precision", "bits"), [("int8", 8), ("W8A8", 8), ("int16", 16), ("float16", None), ("?", None)]
)
def test_rows_of_integers_hold_no_wider_layer(precision, bits):
    assert integer_bits(precision) == bits
    wide = emission_of(QuantizedLayer(LAYER, 16, 8), (IMAGE,))
    key = emission_of(QuantizedLayer(LAYER, 8, 8).widened, (IMAGE,)).key
    table = LatencyTable("toy", "cpu", 1, {key: Row(2.0)}, precision=precision)
    assert table.block(emission_of(QuantizedLayer(LAYER, 3, 8), (IMAGE,))).ms == 2
    if bits == 8:
        with pytest.raises(MissingBlock, match="8-bit rows hold no wider layer"):
            table.block(wide)
    else:
        assert table.block(wide).ms == 2


def test_a_runtime_measures_its_own_precisions(monkeypatch):
    assert {"torch", "onnxruntime", "openvino"} <= set(runtime_names())
    assert runtimes_of("int8") == ["onnxruntime", "openvino"]
    with pytest.raises(NasctlError, match=r"Cannot measure torch in int8: .*--runtime onnxruntime or openvino"):
        Host("here", "torch", precision="int8").table("")
    assert Host("here", "onnxruntime", precision="int8").table("").source["quantisation"].startswith("ONNX Runtime's")
    with pytest.raises(NasctlError, match="no runtime is called 'tensorrt'"):
        load_runtime("tensorrt")
    monkeypatch.setattr("nasctl.hardware.runtimes.version", lambda name: metadata.version(f"no-{name}"))
    with pytest.raises(NasctlError, match=r"not installed. Install it with `pip install 'nasctl\[openvino\]'`"):
        load_runtime("openvino")

"""The export formats by name."""

from __future__ import annotations

from collections.abc import Mapping

from nasctl.export.layers_json import run_json, write_json
from nasctl.export.model import Format
from nasctl.export.onnx_file import run_onnx, write_onnx
from nasctl.export.pt2 import run_pt2, write_pt2
from nasctl.export.python import run_python, write_python
from nasctl.export.torch_weights import run_torch, write_torch

FORMATS: Mapping[str, Format] = {
    "python": Format(".py", write_python, run_python),
    "torch": Format(".pt", write_torch, run_torch),
    "pt2": Format(".pt2", write_pt2, run_pt2),
    "onnx": Format(".onnx", write_onnx, run_onnx),
    "json": Format(".json", write_json, run_json),
}

"""The export formats by name."""

from __future__ import annotations

from collections.abc import Mapping

from nasctl.export.layers_json import load_json, write_json
from nasctl.export.model import Format
from nasctl.export.onnx_file import load_onnx, write_onnx
from nasctl.export.pt2 import load_pt2, write_pt2
from nasctl.export.python import load_python, write_python
from nasctl.export.torch_weights import load_torch, write_torch

FORMATS: Mapping[str, Format] = {
    "python": Format(".py", write_python, load_python),
    "torch": Format(".pt", write_torch, load_torch),
    "pt2": Format(".pt2", write_pt2, load_pt2),
    "onnx": Format(".onnx", write_onnx, load_onnx),
    "json": Format(".json", write_json, load_json),
}

"""The export formats by name."""

from __future__ import annotations

from collections.abc import Mapping

from nasctl.export.coreml import load_coreml, write_coreml
from nasctl.export.executorch import load_executorch, write_executorch
from nasctl.export.layers_json import load_json, write_json
from nasctl.export.model import Format
from nasctl.export.onnx_file import load_onnx, write_onnx
from nasctl.export.onnx_stages import MARKER, load_onnx_stages, write_onnx_stages
from nasctl.export.openvino import load_openvino, write_openvino
from nasctl.export.pt2 import load_pt2, write_pt2
from nasctl.export.python import load_python, write_python
from nasctl.export.tflite import load_tflite, write_tflite
from nasctl.export.torch_weights import load_torch, write_torch

STAGES = "onnx_stages"  # the format that stands for "onnx" where a network has early exits

FORMATS: Mapping[str, Format] = {
    "python": Format(".py", write_python, load_python, same_kernels=True),
    "torch": Format(".pt", write_torch, load_torch, same_kernels=True),
    "pt2": Format(".pt2", write_pt2, load_pt2),
    "onnx": Format(".onnx", write_onnx, load_onnx),
    "json": Format(".json", write_json, load_json, same_kernels=True),
    "openvino": Format(".xml", write_openvino, load_openvino, ("openvino",), "openvino", beside=".bin"),
    "tflite": Format(".tflite", write_tflite, load_tflite, ("litert_torch", "ai_edge_litert"), "tflite"),
    "executorch": Format(
        ".pte", write_executorch, load_executorch, ("executorch.exir", "executorch.runtime"), "executorch"
    ),
    "coreml": Format(
        ".mlpackage",
        write_coreml,
        load_coreml,
        ("coremltools",),
        "coreml",
        folder=True,
        unrun="Core ML runs on macOS alone, so only the shapes of input and output were checked here",
    ),
    STAGES: Format(".stages", write_onnx_stages, load_onnx_stages, folder=True, marker=MARKER),
}

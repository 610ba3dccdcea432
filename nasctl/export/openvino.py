"""Export as an OpenVINO model: an .xml file, with its weights in a .bin file beside it."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from nasctl.export.model import Model, Runner
from nasctl.export.onnx_file import write_onnx
from nasctl.export.quiet import quiet_converter


def write_openvino(model: Model, draft: Path) -> None:
    """Write the model in float32, by way of an ONNX file; the facts of the model are its runtime information."""
    import openvino

    with TemporaryDirectory() as folder, quiet_converter():
        source = Path(folder) / "net.onnx"
        write_onnx(model, source)
        # `openvino.convert_model` reads the same file, and reports its use to a server.
        converted = openvino.Core().read_model(source)
        for key, value in model.facts().items():
            converted.set_rt_info(json.dumps(value, default=str), ["nasctl", key])
        openvino.save_model(converted, draft, compress_to_fp16=False)


def load_openvino(model: Model, path: Path) -> Runner:
    """Load the file with OpenVINO's CPU plug-in, which computes in float32 on one thread."""
    import openvino

    options = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    with quiet_converter():
        compiled = openvino.Core().compile_model(path, "CPU", options)

    def run(examples: Tensor) -> Tensor:
        return torch.tensor(compiled(examples.numpy())[0])

    return run

"""Export as an ONNX file for any batch size."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from nasctl.export.model import Model
from nasctl.export.pt2 import export_program
from nasctl.networks.onnx import silenced_exporter, to_onnx
from nasctl.version import __version__


def write_onnx(model: Model, draft: Path) -> None:
    """Write the model as an ONNX file whose metadata properties describe the architecture."""
    facts = {key: json.dumps(value, default=str) for key, value in model.architecture.facts().items()}
    with silenced_exporter():
        program = export_program(model)
    producer = ("nasctl", __version__)
    content = to_onnx(program, input_names=["input"], output_names=["output"], producer=producer, properties=facts)
    draft.write_bytes(content)


def run_onnx(model: Model, path: Path) -> Tensor:
    """Return what ONNX Runtime computes of the model's examples on one thread, (B, ...)."""
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (found,) = session.run(["output"], {"input": model.examples.numpy()})
    return torch.from_numpy(found)

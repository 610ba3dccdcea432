"""Export as an ONNX file for any batch size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nasctl.export.integer_onnx import integer_layers, with_integers
from nasctl.export.model import Model, Runner
from nasctl.networks.onnx import to_onnx
from nasctl.registry.version import __version__


def write_onnx(model: Model, draft: Path) -> None:
    """Write the model as an ONNX file whose metadata properties are the facts of the model.

    Quantised layers are integers where runtimes have them; see `integer_onnx`.
    """
    facts = {key: json.dumps(value, default=str) for key, value in model.facts().items()}
    producer = ("nasctl", __version__)
    content = to_onnx(
        model.program, input_names=["input"], output_names=["output"], producer=producer, properties=facts
    )
    if layers := integer_layers(model.deployed):
        content = with_integers(content, layers)
    draft.write_bytes(content)


def load_onnx(model: Model, path: Path) -> Runner:
    """Load the file with ONNX Runtime, which computes on one thread."""
    session = onnx_session(path)

    def run(examples: Tensor) -> Tensor:
        (found,) = session.run(["output"], {"input": examples.numpy()})
        return torch.from_numpy(found)

    return run


def onnx_session(path: Path) -> Any:
    """Open an ONNX file with ONNX Runtime on one thread of the CPU."""
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

"""Export as an ONNX file that the ONNX checker accepts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nasctl.export.model import Model
from nasctl.export.pt2 import traced
from nasctl.networks.onnx import silenced_exporter
from nasctl.version import __version__


def write_onnx(model: Model, draft: Path) -> None:
    import onnx

    with silenced_exporter():
        names: dict[str, Any] = {"input_names": ["input"], "output_names": ["output"]}
        program = torch.onnx.export(traced(model), dynamo=True, verbose=False, external_data=False, **names)
    if program is None:
        raise RuntimeError("torch made no ONNX program")
    proto = program.model_proto
    for node in proto.graph.node:
        del node.metadata_props[:]  # how torch came to the node, longer than all the rest of it
    proto.producer_name, proto.producer_version = "nasctl", __version__
    facts = model.architecture.facts()
    onnx.helper.set_model_props(proto, {key: json.dumps(value, default=str) for key, value in facts.items()})
    onnx.checker.check_model(proto, full_check=True)
    onnx.save(proto, draft)


def run_onnx(model: Model, path: Path) -> Tensor:
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (found,) = session.run(["output"], {"input": model.examples.numpy()})
    return torch.from_numpy(found)

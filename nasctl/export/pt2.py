"""Export as a `torch.export` program."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from nasctl.export.model import Model
from nasctl.networks.onnx import silenced_exporter


def export_program(model: Model) -> torch.export.ExportedProgram:
    """Trace the module with torch.export for any batch size.

    The trace uses two examples, because torch.export treats a dimension of size 1 as constant.
    """
    batch = torch.export.Dim("batch")
    program = torch.export.export(model.module, (model.examples[:2],), dynamic_shapes=(({0: batch},),))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # these hold paths of this machine
    return program


def write_pt2(model: Model, draft: Path) -> None:
    """Write the model as a `torch.export` program, with the facts of its architecture as an extra file."""
    with silenced_exporter():
        facts = json.dumps(model.architecture.facts(), default=str)
        torch.export.save(export_program(model), draft, extra_files={"architecture.json": facts})


def run_pt2(model: Model, path: Path) -> Tensor:
    """Return what the program computes of the model's examples, (B, ...)."""
    with silenced_exporter(), torch.no_grad():
        found: Tensor = torch.export.load(path).module()(model.examples)
    return found

"""Export as a `torch.export` program."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from nasctl.export.model import Model, Runner
from nasctl.networks.onnx import silenced_exporter


def export_program(model: Model) -> torch.export.ExportedProgram:
    """Trace `model.deployed` with torch.export for any batch size.

    The trace uses two examples, because torch.export treats a dimension of size 1 as constant.
    """
    batch = torch.export.Dim("batch")
    program = torch.export.export(model.deployed, (model.examples[:2],), dynamic_shapes=(({0: batch},),))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # these hold paths of this machine
    return program


def write_pt2(model: Model, draft: Path) -> None:
    """Write the model as a `torch.export` program, with the facts of the model as an extra file."""
    with silenced_exporter():
        facts = json.dumps(model.facts(), default=str)
        torch.export.save(export_program(model), draft, extra_files={"architecture.json": facts})


def load_pt2(model: Model, path: Path) -> Runner:
    """Load the program."""
    with silenced_exporter():
        module = torch.export.load(path).module()

    def run(examples: Tensor) -> Tensor:
        with torch.no_grad():
            found: Tensor = module(examples)
        return found

    return run

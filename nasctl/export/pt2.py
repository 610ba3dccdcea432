"""Export as a `torch.export` program."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from nasctl.export.model import Model
from nasctl.networks.onnx import silenced_exporter


def traced(model: Model) -> torch.export.ExportedProgram:
    """The graph of the module for any batch. It is traced on two examples, since torch takes a batch of one for 1."""
    batch = torch.export.Dim("batch")
    program = torch.export.export(model.module, (model.examples[:2],), dynamic_shapes=(({0: batch},),))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # paths of this machine, which are nobody's business
    return program


def write_pt2(model: Model, draft: Path) -> None:
    with silenced_exporter():
        facts = json.dumps(model.architecture.facts(), default=str)
        torch.export.save(traced(model), draft, extra_files={"architecture.json": facts})


def run_pt2(model: Model, path: Path) -> Tensor:
    with silenced_exporter(), torch.no_grad():
        found: Tensor = torch.export.load(path).module()(model.examples)
    return found

"""Export as a `torch.export` program."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import torch
from torch import Tensor

from nasctl.export.model import Model, Runner
from nasctl.networks.onnx import silenced_exporter


def write_pt2(model: Model, draft: Path) -> None:
    """Write the model as a `torch.export` program, with the facts of the model as an extra file."""
    with silenced_exporter():
        facts = json.dumps(model.facts(), default=str)
        content = BytesIO()  # on a full disk, torch's own writer of files ends the whole process
        torch.export.save(model.program, content, extra_files={"architecture.json": facts})
        draft.write_bytes(content.getbuffer())


def load_pt2(model: Model, path: Path) -> Runner:
    """Load the program."""
    with silenced_exporter():
        module = torch.export.load(path).module()

    def run(examples: Tensor) -> Tensor:
        with torch.no_grad():
            found: Tensor = module(examples)
        return found

    return run

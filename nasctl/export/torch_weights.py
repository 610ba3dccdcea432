"""Export as a PyTorch state dict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nasctl.export.model import Model
from nasctl.export.python import run_source


def write_torch(model: Model, draft: Path) -> None:
    """The state dict; what it belongs to stands in its `_metadata[""]["nasctl"]`, which loading ignores."""
    weights: Any = model.module.state_dict()
    weights._metadata[""]["nasctl"] = json.dumps(model.architecture.facts(), default=str)
    torch.save(weights, draft)


def run_torch(model: Model, path: Path) -> Tensor:
    return run_source(model, torch.load(path, weights_only=True))

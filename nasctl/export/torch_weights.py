"""Export as a PyTorch state dict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from nasctl.export.model import Model, Runner
from nasctl.export.python import load_source


def write_torch(model: Model, draft: Path) -> None:
    """Write the state dict, with the facts of the model in `_metadata[""]["nasctl"]`, which loading ignores."""
    weights: Any = model.module.state_dict()
    weights._metadata[""]["nasctl"] = json.dumps(model.facts(), default=str)
    torch.save(weights, draft)


def load_torch(model: Model, path: Path) -> Runner:
    """Load the stand-alone source with the weights of the file."""
    return load_source(model, torch.load(path, weights_only=True))

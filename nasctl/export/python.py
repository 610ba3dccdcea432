"""Export as a stand-alone Python file that needs torch, and Pillow to classify image files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nasctl.export.model import Model, Runner


def write_python(model: Model, draft: Path) -> None:
    """Write the Python source of the model."""
    draft.write_text(model.source, encoding="utf-8")


def load_python(model: Model, path: Path) -> Runner:
    """Load the source with the module's weights."""
    if path.read_text(encoding="utf-8") != model.source:
        raise ValueError("the file does not hold what was written")
    return load_source(model, model.module.state_dict())


def load_source(model: Model, weights: Mapping[str, Tensor]) -> Runner:
    """Load the stand-alone source with these weights.

    The source is run as it was generated, in its own namespace. No text from a file is run. The source of a trained
    network of images normalises pixels itself, and gets these weights in place of those of the file beside it.
    """
    names: dict[str, Any] = {"__name__": "standalone"}
    exec(compile(model.source, "standalone.py", "exec"), names)
    with torch.random.fork_rng(devices=[]):  # the constructors draw weights first
        net = names["Net"]()
    net.load_state_dict(weights)
    net.eval()
    names["load"] = lambda: net
    function = names.get("logits", net)

    def run(examples: Tensor) -> Tensor:
        with torch.no_grad():
            found: Tensor = function(examples)
        return found

    return run

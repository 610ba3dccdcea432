"""Export as a stand-alone Python file that needs torch alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nasctl.export.model import Model


def write_python(model: Model, draft: Path) -> None:
    draft.write_text(model.source, encoding="utf-8")


def run_python(model: Model, path: Path) -> Tensor:
    if path.read_text(encoding="utf-8") != model.source:
        raise ValueError("the file does not hold what was written")
    return run_source(model, model.module.state_dict())


def run_source(model: Model, weights: Mapping[str, Tensor]) -> Tensor:
    """What the stand-alone source computes with these weights.

    It is run as it was generated, in a namespace of its own; no text is run that was read from anywhere.
    """
    names: dict[str, Any] = {"__name__": "standalone"}
    exec(compile(model.source, "standalone.py", "exec"), names)
    with torch.random.fork_rng(devices=[]), torch.no_grad():  # the file draws weights of its own first
        net = names["Net"]()
        net.load_state_dict(weights)
        found: Tensor = net.eval()(model.examples)
    return found

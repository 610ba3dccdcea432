"""A model to export, and the form of an export format: one function that writes a file and one that runs it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from nasctl.architectures.architecture import Architecture
from nasctl.networks.python_source import source
from nasctl.version import __version__


@dataclass(frozen=True)
class Model:
    """An architecture with weights, in evaluation mode, and examples to compare exports on."""

    architecture: Architecture
    module: nn.Module
    examples: Tensor  # inputs to compare on, (B, ...) with B > 2

    @cached_property
    def outputs(self) -> Tensor:
        """The module's outputs for the examples, (B, ...)."""
        with torch.no_grad():
            found: Tensor = self.module(self.examples)
        return found

    @cached_property
    def source(self) -> str:
        """The content of the stand-alone Python file."""
        return source(self.architecture.network, header=_header(self.architecture), vocabulary=self._vocabulary)

    @property
    def _vocabulary(self) -> int:
        return self.architecture.input.vocabulary if self.architecture.input.kind == "tokens" else 0


@dataclass(frozen=True)
class Format:
    """An export format."""

    suffix: str
    write: Callable[[Model, Path], None]
    run: Callable[[Model, Path], Tensor]  # runs the file on the model's examples and returns its outputs, (B, ...)


def _header(architecture: Architecture) -> str:
    """Return the docstring of the Python file."""
    facts = architecture.facts()
    shape = "x".join(map(str, facts["input"]))
    lines = [
        f"Network {architecture.id}, written by nasctl {__version__}; it needs torch and nothing else.",
        "",
        f"Space       {architecture.space}",
        f"Genome      {','.join(map(str, architecture.genome))}",
        *([f"Native      {architecture.native}"] if architecture.native else []),
        f"Input       {shape} ({architecture.input.kind})",
        f"Parameters  {facts['params']:,}",
        f"MACs        {facts['macs']:,} for one example: multiply-accumulates of convolutions and matrix products",
        "",
        "`Net()` has weights as torch draws them. Load the weights of `nasctl export --format torch` with",
        "",
        "    net = Net()",
        f"    net.load_state_dict(torch.load({json.dumps(architecture.id + '.pt')}, weights_only=True))",
        "",
        "Those are untrained too: nasctl's initial weights of a seed, with the batch-norm statistics of one batch of",
        "noise in place of torch's 0 and 1, so that every layer changes the output. Training overwrites both.",
        "",
    ]
    return "\n".join(lines)

"""Export as an ExecuTorch program for one example."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from nasctl.export.model import Model, Runner, one_by_one
from nasctl.export.quiet import quiet_converter


def write_executorch(model: Model, draft: Path) -> None:
    """Write the model for the XNNPACK backend, and for portable kernels where XNNPACK has no operator.

    The constant method "architecture" returns the facts of the model as JSON.
    """
    with quiet_converter():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        facts = json.dumps(model.facts(), default=str)
        lowered = to_edge_transform_and_lower(
            model.single_program, partitioner=[XnnpackPartitioner()], constant_methods={"architecture": facts}
        )
        content = lowered.to_executorch().buffer
    draft.write_bytes(content)


def load_executorch(model: Model, path: Path) -> Runner:
    """Load the program with ExecuTorch's own runtime."""
    with quiet_converter():
        from executorch.runtime import Runtime

        method = Runtime.get().load_program(path).load_method("forward")

    def run(example: Tensor) -> Tensor:
        (found,) = method.execute([example.contiguous()])
        return torch.as_tensor(found).clone()  # the next call overwrites the output

    return one_by_one(run)

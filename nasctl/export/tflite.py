"""Export as a TFLite file (LiteRT) for one example."""

from __future__ import annotations

import json
from pathlib import Path
from zipfile import ZipFile, ZipInfo

import torch
from torch import Tensor

from nasctl.export.model import Model, Runner, one_by_one
from nasctl.export.quiet import quiet_converter


def write_tflite(model: Model, draft: Path) -> None:
    """Write the model, with its facts as the associated file architecture.json.

    Associated files are a zip archive behind the model, which runtimes ignore: `unzip net.tflite` extracts them.

    References:
        "Adding metadata to LiteRT models", https://ai.google.dev/edge/litert/models/metadata.
    """
    with quiet_converter():
        import litert_torch

        litert_torch.convert(model.deployed, (model.examples[:1],)).export(str(draft))
    with ZipFile(draft, "a") as archive:
        archive.writestr(ZipInfo("architecture.json"), json.dumps(model.facts(), default=str))


def load_tflite(model: Model, path: Path) -> Runner:
    """Load the file with the LiteRT interpreter, which computes on one thread."""
    with quiet_converter():
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(str(path), num_threads=1)
        interpreter.allocate_tensors()
    (given,), (output,) = interpreter.get_input_details(), interpreter.get_output_details()

    def run(example: Tensor) -> Tensor:
        interpreter.set_tensor(given["index"], example.numpy())
        interpreter.invoke()
        return torch.from_numpy(interpreter.get_tensor(output["index"]))  # get_tensor copies

    return one_by_one(run)

"""Export of a network with early exits as a folder of ONNX files, one for each stage."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nasctl.errors import NasctlError
from nasctl.export.difference import check_difference, difference
from nasctl.export.model import Model, NormalisedPixels, Runner
from nasctl.export.onnx_file import onnx_session
from nasctl.networks.early_exit import ExitStage, exit_stages, thresholds_of
from nasctl.networks.node import attribute_name
from nasctl.networks.onnx import silenced_exporter, to_onnx
from nasctl.networks.stage_module import StageModule
from nasctl.networks.staged_net import StagedNet
from nasctl.registry.version import __version__

MARKER = "exits.json"  # name of the file that lists the stages

INPUT = -1  # position of the network's input

README = """\
# A network with early exits

`exits.json` lists the ONNX files in their order, with the names of their inputs and outputs. Run the first one on the
input. Its first output, `logits`, has a score for each class. If the largest value of softmax(logits) exceeds the
`threshold` of the stage, the answer is there, and nothing else runs. Otherwise run the next file on the other outputs,
by their names. The last stage has no threshold.

```python
import json
from pathlib import Path

import numpy as np
import onnxruntime

stages = json.loads(Path("exits.json").read_text())["stages"]
sessions = [onnxruntime.InferenceSession(stage["file"]) for stage in stages]


def classify(image):  # float32 (1, {shape}){pixels}
    values = {{"input": image}}
    for stage, session in zip(stages, sessions):
        found = session.run(stage["outputs"], {{name: values[name] for name in stage["inputs"]}})
        values |= dict(zip(stage["outputs"], found))
        scores = np.exp(values["logits"] - values["logits"].max())
        if stage["threshold"] is None or scores.max() / scores.sum() > stage["threshold"]:
            return values["logits"]
```

The thresholds were chosen on validation images: accuracies and shares of exits on these are too good. `exits.json` has
the results on test images first.
"""


def write_onnx_stages(model: Model, draft: Path) -> None:
    """Write a folder with an ONNX file for each stage, `exits.json` and a README.

    Raises:
        NasctlError: The network has no early exits.
    """
    network = model.architecture.network
    stages = exit_stages(network)
    if not stages:
        raise NasctlError("Cannot export stages: the network has no early exits. Use --format onnx.")
    draft.mkdir()
    names, thresholds, listed = _names(model), (*thresholds_of(network), None), []
    for number, (stage, module, inputs) in enumerate(_run(model, stages, model.examples[:2])):
        file = f"stage{number + 1}.onnx"
        facts = {"stage": number + 1, "threshold": thresholds[number], **model.facts()}
        takes = [names[value] for value in stage.inputs]
        gives = ["logits", *(names[value] for value in stage.outputs)]
        content = to_onnx(
            _program(module, inputs),
            input_names=takes,
            output_names=gives,
            producer=("nasctl", __version__),
            properties={key: json.dumps(value, default=str) for key, value in facts.items()},
        )
        (draft / file).write_bytes(content)
        listed.append({"file": file, "inputs": takes, "outputs": gives, "threshold": thresholds[number]})
    text = json.dumps({"nasctl": __version__, **model.facts(), "stages": listed}, indent=1, default=str)
    (draft / MARKER).write_text(f"{text}\n", encoding="utf-8")
    pixels = ", pixels from 0 to 255" if isinstance(model.deployed, NormalisedPixels) else ""
    shape = ", ".join(map(str, model.architecture.input.shape))
    (draft / "README.md").write_text(README.format(shape=shape, pixels=pixels), encoding="utf-8")


def load_onnx_stages(model: Model, path: Path) -> Runner:
    """Load the files with ONNX Runtime on one thread, after each was compared with its stage of the module.

    Raises:
        NasctlError: A stage computes something else.
    """
    content = json.loads((path / MARKER).read_text(encoding="utf-8"))
    net = StagedNet()
    net.THRESHOLDS = tuple(one["threshold"] for one in content["stages"][:-1])
    net.STAGES = tuple(tuple(one["inputs"]) for one in content["stages"])
    net.VALUES = tuple(tuple(one["outputs"][1:]) for one in content["stages"])
    stages = exit_stages(model.architecture.network)
    for number, (_, module, inputs) in enumerate(_run(model, stages, model.examples)):
        run = _session(path / content["stages"][number]["file"], content["stages"][number])
        with torch.no_grad():
            expected = module(*inputs)
        for one, found in zip(expected, run(*inputs), strict=True):
            check_difference(f"stage {number + 1} of onnx", difference(one, found))
        setattr(net, f"stage{number + 1}", run)
    return net.forward


class _NormalisedStage(nn.Module):
    """A stage one of whose inputs is the network's input, as pixels from 0 to 255.

    Args:
        stage: The stage.
        place: Place of the network's input among the stage's inputs.
        pixels: The module with the mean and the deviation.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, stage: nn.Module, place: int, pixels: NormalisedPixels) -> None:
        super().__init__()
        self.stage, self._place = stage, place
        self.register_buffer("mean", pixels.mean)
        self.register_buffer("deviation", pixels.deviation)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        given = [(x - self.mean) / self.deviation if k == self._place else x for k, x in enumerate(inputs)]
        found: tuple[Tensor, ...] = self.stage(*given)
        return found


def _run(
    model: Model, stages: Sequence[ExitStage], examples: Tensor
) -> list[tuple[ExitStage, nn.Module, tuple[Tensor, ...]]]:
    """Return the stages with their modules and inputs for examples, all of which go through all stages.

    Args:
        model: The model.
        stages: Its stages.
        examples: Inputs of `Model.deployed`, (B, ...).
    """
    network, values, found = model.architecture.network, {INPUT: examples}, []
    for stage in stages:
        module: nn.Module = StageModule(
            network, model.module, stage.nodes, stage.inputs, [stage.logits, *stage.outputs]
        ).eval()
        if INPUT in stage.inputs and isinstance(model.deployed, NormalisedPixels):
            module = _NormalisedStage(module, stage.inputs.index(INPUT), model.deployed).eval()
        inputs = tuple(values[one] for one in stage.inputs)
        with torch.no_grad():
            outputs = module(*inputs)
        values |= dict(zip(stage.outputs, outputs[1:], strict=True))
        found.append((stage, module, inputs))
    return found


def _program(module: nn.Module, inputs: tuple[Tensor, ...]) -> torch.export.ExportedProgram:
    """Return the trace of a stage for any batch size, without the paths of this machine that torch notes in it."""
    batch = torch.export.Dim("batch")
    with silenced_exporter():
        program = torch.export.export(module, inputs, dynamic_shapes=(tuple({0: batch} for _ in inputs),))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    return program


def _session(path: Path, stage: Mapping[str, Any]) -> Any:
    """Return a function that runs the file of a stage."""
    session = onnx_session(path)

    def run(*inputs: Tensor) -> tuple[Tensor, ...]:
        given = {name: one.numpy() for name, one in zip(stage["inputs"], inputs, strict=True)}
        return tuple(torch.from_numpy(one) for one in session.run(stage["outputs"], given))

    return run


def _names(model: Model) -> dict[int, str]:
    """Return the names of values in the files, by position."""
    nodes = enumerate(model.architecture.network.nodes)
    return {INPUT: "input"} | {k: attribute_name(node.name) for k, node in nodes}

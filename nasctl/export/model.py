"""A model to export, and the form of an export format: a function that writes a file and one that loads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nasctl.architectures.architecture import Architecture
from nasctl.errors import NasctlError
from nasctl.export.header import header
from nasctl.networks.early_exit import thresholds_of
from nasctl.networks.onnx import silenced_exporter
from nasctl.networks.python_source import source
from nasctl.training.labelled import TrainingData
from nasctl.training.trained_weights import Facts

Runner = Callable[[Tensor], Tensor]  # takes a batch of examples, (B, ...), and returns the outputs, (B, ...)


class NormalisedPixels(nn.Module):
    """A network that takes pixels from 0 to 255: it normalises them as its training did.

    Args:
        network: The network, which takes normalised images.
        mean: Mean of each channel, in pixels from 0 to 255, (C,).
        deviation: Standard deviation of each channel, in pixels from 0 to 255, (C,).
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, network: nn.Module, mean: tuple[float, ...], deviation: tuple[float, ...]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1))
        self.register_buffer("deviation", torch.tensor(deviation, dtype=torch.float32).view(1, -1, 1, 1))

    def forward(self, *inputs: Tensor) -> Tensor:  # the signature of `Executable`, which torch.export is told of
        """Return the network's outputs, (B, ...), for pixels from 0 to 255, (B, C, H, W) float32."""
        (pixels,) = inputs
        found: Tensor = self.network((pixels - self.mean) / self.deviation)
        return found


@dataclass(frozen=True)
class Model:
    """An architecture with weights, in evaluation mode, and examples to compare exports on.

    Attributes:
        architecture: The architecture.
        module: The network with its weights; it takes normalised images, or tokens.
        examples: Inputs of `deployed` to compare exports on, (B, ...) with B > 2.
        trained: Facts of the training that the weights come from; None if the network is untrained.
        weights_name: Name of the file from which an exported Python file loads the weights.
        rounds_inputs: Whether layers round their inputs, so that a rounding error may become a step.
        data: Labelled data on whose validation part files are compared; None to look for that of the training.
    """

    architecture: Architecture
    module: nn.Module
    examples: Tensor
    trained: Facts | None = None
    weights_name: str = ""
    rounds_inputs: bool = False
    data: TrainingData | None = None

    @cached_property
    def deployed(self) -> nn.Module:
        """The module that ONNX and pt2 files hold: a trained network of images takes pixels from 0 to 255."""
        if self.trained is None or not self.trained.mean:
            return self.module
        return NormalisedPixels(self.module, self.trained.mean, self.trained.deviation).eval()

    def normalised(self, examples: Tensor) -> Tensor:
        """Return inputs of `deployed` as inputs of `module`."""
        deployed = self.deployed
        return (examples - deployed.mean) / deployed.deviation if isinstance(deployed, NormalisedPixels) else examples

    @cached_property
    def outputs(self) -> Tensor:
        """The outputs of `deployed` for the examples, (B, ...)."""
        with torch.no_grad():
            found: Tensor = self.deployed(self.examples)
        return found

    @cached_property
    def program(self) -> torch.export.ExportedProgram:
        """The trace of `deployed` by torch.export for any batch size, which pt2 and ONNX files are written from.

        The trace uses two examples, because torch.export treats a dimension of size 1 as constant.
        """
        return _traced(self.deployed, self.examples[:2], (({0: torch.export.Dim("batch")},),))

    @cached_property
    def single_program(self) -> torch.export.ExportedProgram:
        """The trace of `deployed` for one example, which formats of devices are written from."""
        return _traced(self.deployed, self.examples[:1], None)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that a trained classifier of images tells apart; empty for all other models."""
        if self.trained is None or self.trained.task != "classes" or not self.trained.mean:
            return ()
        return self.trained.class_names or tuple(map(str, range(self.architecture.network.out_shape[-1])))

    @property
    def predicts(self) -> bool:
        """Return whether the Python file can classify image files, which have one channel or three."""
        return bool(self.classes) and self.architecture.input.shape[0] in (1, 3)

    @cached_property
    def source(self) -> str:
        """The content of the stand-alone Python file."""
        from nasctl.export.application import application  # it imports Pillow

        made, shape = None, self.architecture.input.shape
        if self.trained is not None:
            made = application(self.trained, self.classes, self.predicts, shape, self.weights_name)
        text = header(self.architecture, self.trained, self.predicts, self.weights_name)
        return source(self.architecture.network, header=text, vocabulary=self._vocabulary, application=made)

    def facts(self) -> dict[str, Any]:
        """Return the facts that every file holds: those of the architecture, and of the training if there is one."""
        facts = self.architecture.facts()
        if thresholds := thresholds_of(self.architecture.network):
            facts = {**facts, "thresholds": list(thresholds)}
        if self.trained is None:
            return facts
        shape = list(self.architecture.input.shape)
        image = {"image_size": shape[1:], "pixels": PIXELS} if self.trained.mean else {}
        training = {key: value for key, value in asdict(self.trained).items() if key not in ("space", "genome")}
        return {**facts, **training, **image, **({"class_names": list(self.classes)} if self.classes else {})}

    @property
    def _vocabulary(self) -> int:
        return self.architecture.input.vocabulary if self.architecture.input.kind == "tokens" else 0


PIXELS = "float32 from 0 to 255, (N, C, H, W), channels red, green, blue; ONNX and pt2 files normalise them inside"


@dataclass(frozen=True)
class Format:
    """An export format.

    Attributes:
        suffix: Suffix of the file.
        write: Writes a model to a file.
        load: Loads the file of a model as a function of inputs of `Model.deployed`; returns None if the file cannot be
            run on this system, after it has checked what can be checked.
        modules: Modules of the converter and the runtime that nasctl itself does not depend on.
        extra: Extra of nasctl that installs them; "" if there are none.
        beside: Suffix of a second file that `write` writes beside the file; "" if there is none.
        folder: Whether `write` makes a folder in place of a file.
        marker: Name of a file by which such a folder is known.
        same_kernels: Whether `load` runs the same modules of torch, so that sums have the order of the model's.
        unrun: Sentence for a file that cannot be run on this system: what was checked instead.
    """

    suffix: str
    write: Callable[[Model, Path], None]
    load: Callable[[Model, Path], Runner | None]
    modules: tuple[str, ...] = ()
    extra: str = ""
    beside: str = ""
    folder: bool = False
    marker: str = "Manifest.json"
    same_kernels: bool = False
    unrun: str = ""

    @property
    def installed(self) -> bool:
        """Return whether the converter and the runtime are installed."""
        try:
            return all(find_spec(name) is not None for name in self.modules)
        except ModuleNotFoundError:  # the package of a module
            return False

    def run(self, model: Model, path: Path) -> Tensor:
        """Run a file on the model's examples and return its outputs, (B, ...).

        Raises:
            NasctlError: The file cannot be run on this system.
        """
        if (runner := self.load(model, path)) is None:
            raise NasctlError(f"Cannot run {path}: {self.unrun}.")
        return runner(model.examples)


def one_by_one(run: Runner) -> Runner:
    """Return a function of a batch, (B, ...), from one of a single example, (1, ...)."""
    return lambda examples: torch.cat([run(examples[k : k + 1]) for k in range(len(examples))])


def _traced(module: nn.Module, examples: Tensor, dynamic_shapes: Any) -> torch.export.ExportedProgram:
    """Return the trace of a module, without the paths of this machine that torch notes in it."""
    with silenced_exporter():
        program = torch.export.export(module, (examples,), dynamic_shapes=dynamic_shapes)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    return program

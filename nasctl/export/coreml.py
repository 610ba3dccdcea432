"""Export as a Core ML package for one example, which macOS alone can run."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nasctl.export.model import Model, Runner, one_by_one
from nasctl.export.quiet import quiet_converter
from nasctl.registry.version import __version__


def write_coreml(model: Model, draft: Path) -> None:
    """Write the model as an ML program in float32 for iOS 16 and macOS 13, with its facts as user-defined metadata."""
    with quiet_converter():
        import coremltools

        converted = coremltools.convert(
            model.single_program.run_decompositions({}),
            outputs=[coremltools.TensorType(name="output")],
            minimum_deployment_target=coremltools.target.iOS16,
            compute_precision=coremltools.precision.FLOAT32,
            skip_model_load=True,
        )
        converted.short_description = f"{model.architecture.id}, written by nasctl {__version__}"
        for key, value in model.facts().items():
            converted.user_defined_metadata[f"nasctl.{key}"] = json.dumps(value, default=str)
        converted.save(str(draft))


def load_coreml(model: Model, path: Path) -> Runner | None:
    """Load the package with Core ML on macOS. On other systems check what it declares, and return None.

    Raises:
        ValueError: Input or output of the package are not those of the model.
    """
    with quiet_converter():
        import coremltools

        loaded = coremltools.models.MLModel(str(path), skip_model_load=sys.platform != "darwin")
    (given,), (output,) = loaded.get_spec().description.input, loaded.get_spec().description.output
    declared = _shape(given), _shape(output)
    expected = tuple(model.examples[:1].shape), tuple(model.outputs[:1].shape)
    if declared != expected:
        raise ValueError(f"the package declares shapes {declared} instead of {expected}")
    if sys.platform != "darwin":
        return None

    def run(example: Tensor) -> Tensor:
        found = loaded.predict({given.name: example.numpy()})
        return torch.from_numpy(found[output.name])

    return one_by_one(run)


def _shape(feature: Any) -> tuple[int, ...]:
    """Return the shape of an input or output of a package."""
    return tuple(feature.type.multiArrayType.shape)

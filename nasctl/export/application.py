"""The part of an exported Python file that runs a trained network: constants, functions and the main program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import getsource

from nasctl.export import prediction
from nasctl.export.model import Model
from nasctl.networks.python_source import WIDTH, Application, literal

LOADED: Sequence[Callable[..., object]] = (prediction.load,)
PIXELS_IN: Sequence[Callable[..., object]] = (prediction.load, prediction.logits)
IMAGES_IN: Sequence[Callable[..., object]] = (
    prediction.load,
    prediction.predict,
    prediction.logits,
    prediction.preprocess,
    prediction.channels,
    prediction.eight_bits,
    prediction.turned,
    prediction.main,
)


def application(model: Model) -> Application:
    """Return the constants and functions with which the Python file loads trained weights and predicts."""
    assert model.trained is not None
    values: dict[str, object] = {"WEIGHTS": model.weights_name}
    if model.trained.mean:
        values = {"MEAN": model.trained.mean, "DEVIATION": model.trained.deviation} | values
    if model.classes:
        values = {"CLASSES": model.classes} | values | {"SIZE": model.architecture.input.shape[1:]}
    functions = IMAGES_IN if model.predicts else PIXELS_IN if model.trained.mean else LOADED
    standard = ["from functools import cache", "from pathlib import Path"]
    imports = ["import torch", "from torch import Tensor, nn"]
    if model.predicts:
        standard = ["import sys", standard[0], "from os import PathLike", standard[1]]
        imports = [imports[0], "from PIL import Image, ImageOps", imports[1]]
    return Application(
        imports="\n".join([*standard, "", *imports, ""]),
        constants="".join(_constant(name, value) for name, value in values.items()),
        functions=[getsource(function) for function in functions],
        main="    sys.exit(main(sys.argv[1:]))" if model.predicts else "",
    )


def _constant(name: str, value: object) -> str:
    """Return the lines that assign a constant, broken as ruff breaks them."""
    line = f"{name} = {literal(value)}"
    if len(line) <= WIDTH or not isinstance(value, tuple):
        return f"{line}\n"
    return "\n".join([f"{name} = (", *(f"    {literal(one)}," for one in value), ")", ""])

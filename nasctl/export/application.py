"""The part of an exported Python file that runs a trained network: constants, functions and the main program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import getsource

from nasctl.export import prediction
from nasctl.networks.python_source import WIDTH, Application, literal
from nasctl.training.trained_weights import Facts

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


def application(
    trained: Facts, classes: tuple[str, ...], predicts: bool, shape: tuple[int, ...], weights_name: str
) -> Application:
    """Return the constants and functions with which the Python file loads trained weights and predicts.

    Args:
        trained: Facts of the training.
        classes: Names of the classes of images; empty if the network does not tell classes of images apart.
        predicts: Whether the file can classify image files.
        shape: Shape of the input, (C, H, W) for images.
        weights_name: Name of the file with the weights.
    """
    values: dict[str, object] = {"WEIGHTS": weights_name}
    if trained.mean:
        values = {"MEAN": trained.mean, "DEVIATION": trained.deviation} | values
    if classes:
        values = {"CLASSES": classes} | values | {"SIZE": shape[1:]}
    functions = IMAGES_IN if predicts else PIXELS_IN if trained.mean else LOADED
    standard = ["from functools import cache", "from pathlib import Path"]
    imports = ["import torch", "from torch import Tensor, nn"]
    if predicts:
        standard = ["import sys", standard[0], "from os import PathLike", standard[1]]
        imports = [imports[0], "from PIL import Image, ImageOps", imports[1]]
    return Application(
        imports="\n".join([*standard, "", *imports, ""]),
        constants="".join(_constant(name, value) for name, value in values.items()),
        functions=[getsource(function) for function in functions],
        main="    sys.exit(main(sys.argv[1:]))" if predicts else "",
    )


def _constant(name: str, value: object) -> str:
    """Return the lines that assign a constant, broken as ruff breaks them."""
    line = f"{name} = {literal(value)}"
    if len(line) <= WIDTH or not isinstance(value, tuple):
        return f"{line}\n"
    return "\n".join([f"{name} = (", *(f"    {literal(one)}," for one in value), ")", ""])

"""The compact notation of a block for people: its class, kernel, expansion, stride and other fields."""

from __future__ import annotations

import ast
from typing import Any

from nasctl.networks.graph import Emission
from nasctl.networks.layers import Conv

SIZES = ("channels", "units", "classes", "width")  # fields of a block that are shown unless its output has that size

# Fields that are never shown, because shapes tell them or they matter little.
HIDDEN = frozenset(
    ("bias", "norm", "vocabulary", "in_channels", "out_channels", "padding", "in_features", "out_features",
     "num_features", "eps", "dtypes", "normalized_shape", "start_dim", "squeezed", "input_size", "batch_first",
     "num_layers", "proj_size", "dropout", "embed_dim", "kdim", "vdim")
)  # fmt: skip
SHORT = 14  # most characters of a value that is shown


def block_notation(emission: Emission) -> str:
    """Return a block in one line: kernel, expansion as "e3", groups as "g2", stride as "/2", and its other fields."""
    return " ".join(describe_block(emission))


def describe_block(emission: Emission) -> tuple[str, ...]:
    """Describe a block by its name and its fields, such as "5x5", "e6", "/2"."""
    title, fields = class_and_fields(emission)
    fields = {name: value for name, value in fields.items() if name not in SIZES or value not in emission.out_shape}
    if title == "Leaf":  # a layer of torch.nn
        title, fields = str(fields["kind"]).removeprefix("nn."), dict(fields.get("options", ()))
    elif title == "Function":
        title, fields = str(fields["steps"][-1][0]).rpartition(".")[2].strip("_"), {}
    kernels = {node.layer.kernel for node in emission.nodes if isinstance(node.layer, Conv)}
    if len(kernels) == 1 and not fields.keys() & {
        "kernel",
        "kernel_size",
        "size",
    }:  # the key leaves out a kernel at its default
        fields = {"kernel": kernels.pop(), **fields}
    return (title, *(text for name, value in fields.items() if (text := _field_text(name, value))))


def class_and_fields(emission: Emission) -> tuple[str, dict[str, Any]]:
    """Return the class name of a block and its fields that are not at their defaults."""
    call = ast.parse(emission.key.partition(" @ ")[0], mode="eval").body
    assert isinstance(call, ast.Call)
    return ast.unparse(call.func).rpartition(".")[2], {str(one.arg): _value(one.value) for one in call.keywords}


def _value(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)


def _field_text(name: str, value: Any) -> str:
    """Return the text of a field in a box, or "" if it is not shown."""
    if name in ("kernel", "kernel_size", "size") and not isinstance(value, str):
        sides = value if isinstance(value, tuple) and len(value) > 1 else (value, value)
        return "\N{MULTIPLICATION SIGN}".join(map(str, sides)) if not isinstance(sides[0], tuple) else str(value[0])
    if name == "stride":
        return f"/{value}" if value not in (1, (1,)) else ""
    if name in HIDDEN or value is None or value is False or value == ():
        return ""
    if value is True:
        return name
    if isinstance(value, str):
        return value if len(value) <= SHORT else ""
    letter = {"expand": "e", "groups": "g", "dilation": "d"}.get(name)
    value = ",".join(map(str, value)) if isinstance(value, tuple) else value
    text = f"{letter}{value:g}" if letter and isinstance(value, int | float) else f"{name} {value}"
    return text if len(text) <= 2 * SHORT else ""

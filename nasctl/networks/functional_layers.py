"""Layers of torch.nn that equal functions with parameters, such as F.conv2d."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from nasctl.networks.trace_records import Record

CONVOLUTION = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
TRANSPOSED = ("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation")
ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), CONVOLUTION),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), TRANSPOSED),
    "nn.functional.linear": ("input", "weight", "bias"),
    "nn.functional.layer_norm": ("input", "normalized_shape", "weight", "bias", "eps"),
    "nn.functional.rms_norm": ("input", "normalized_shape", "weight", "eps"),
    "nn.functional.group_norm": ("input", "num_groups", "weight", "bias", "eps"),
    "nn.functional.batch_norm": (
        "input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps",
    ),
    "nn.functional.embedding": ("input", "weight", "padding_idx", "max_norm"),
}  # fmt: skip
TENSORS = ("weight", "bias", "running_mean", "running_var")
BATCH_NORM_CLASSES = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}


class FunctionalLayer(NamedTuple):
    """A layer that equals a call of a function."""

    module: nn.Module  # on the meta device
    input: Record
    tensors: Mapping[str, Record]  # the module's tensors by their names in the layer


def functional_layer(record: Record, twin: Record) -> FunctionalLayer | None:
    """Return the layer of torch.nn that equals a call, or None if none does.

    All its weights have to be parameters of the module, and running statistics its buffers.

    Args:
        record: The call.
        twin: The same call for another batch.
    """
    names = ARGUMENTS.get(record.name)
    given = _by_name(record, names or ())
    other = _by_name(twin, names or ())
    if names is None or given is None or other is None:
        return None
    tensors = {key: given[key] for key in TENSORS if isinstance(given.get(key), Record)}
    more = {key: value for key, value in given.items() if key not in (*TENSORS, "input")}
    if not isinstance(given.get("input"), Record) or more != {key: other.get(key) for key in more}:
        return None
    if any(isinstance(value, Record) for value in more.values()):
        return None
    if not all(_belongs(key, one) for key, one in tensors.items()) or "weight" not in tensors:
        return None
    values: dict[str, Tensor] = {key: one.function for key, one in tensors.items()}
    with torch.device("meta"):
        try:
            module = MAKERS[record.name if "." in record.name else record.name[:-2]](record, values, more)
        except (TypeError, ValueError, KeyError):
            return None
    own = {**dict(module.named_parameters()), **dict(module.named_buffers())} if module is not None else {}
    needed = {key: one.shape for key, one in own.items() if key != "num_batches_tracked"}
    if module is None or needed != {key: one.shape for key, one in values.items()}:
        return None
    return FunctionalLayer(module.eval(), given["input"], tensors)


def _by_name(record: Record, names: tuple[str, ...]) -> dict[str, Any] | None:
    """Return the arguments of a call by name, without those that are None; None if there are others."""
    if len(record.args) > len(names) or set(record.options) - set(names):
        return None
    given = dict(zip(names, record.args, strict=False)) | dict(record.options)
    return {key: value for key, value in given.items() if value is not None}


def _belongs(key: str, record: Record) -> bool:
    """Return whether a tensor is a parameter of the module, or its buffer where statistics are."""
    wanted = not key.startswith("running")
    return record.kind == "tensor" and bool(record.name) and isinstance(record.function, nn.Parameter) == wanted


def _convolution(record: Record, values: Mapping[str, Tensor], more: Mapping[str, Any]) -> nn.Module:
    weight, kind = values["weight"], getattr(nn, f"Conv{record.name[-2:]}")
    channels, groups = weight.shape[1] * more.get("groups", 1), more.get("groups", 1)
    options = {key: _tuple(more[key]) for key in ("stride", "padding", "dilation") if key in more}
    made: nn.Module = kind(
        channels, weight.shape[0], tuple(weight.shape[2:]), groups=groups, bias="bias" in values, **options
    )
    return made


def _transposed(record: Record, values: Mapping[str, Tensor], more: Mapping[str, Any]) -> nn.Module:
    weight, kind = values["weight"], getattr(nn, f"ConvTranspose{record.name[-2:]}")
    groups = more.get("groups", 1)
    options = {key: _tuple(more[key]) for key in ("stride", "padding", "output_padding", "dilation") if key in more}
    made: nn.Module = kind(
        weight.shape[0], weight.shape[1] * groups, tuple(weight.shape[2:]), groups=groups, bias="bias" in values,
        **options,
    )  # fmt: skip
    return made


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _layer_norm(record: Record, values: Mapping[str, Tensor], more: Mapping[str, Any]) -> nn.Module:
    return nn.LayerNorm(tuple(more["normalized_shape"]), more.get("eps", 1e-5), bias="bias" in values)


def _batch_norm(record: Record, values: Mapping[str, Tensor], more: Mapping[str, Any]) -> nn.Module | None:
    if more.get("training") or "running_mean" not in values or "running_var" not in values:
        return None
    kind, size = BATCH_NORM_CLASSES[len(record.shape or ())], values["running_mean"].shape[0]
    return kind(size, more.get("eps", 1e-5))


MAKERS: Mapping[str, Callable[[Record, Mapping[str, Tensor], Mapping[str, Any]], nn.Module | None]] = {
    "conv": _convolution,
    "conv_transpose": _transposed,
    "nn.functional.linear": lambda record, values, more: nn.Linear(
        values["weight"].shape[1], values["weight"].shape[0], "bias" in values
    ),
    "nn.functional.layer_norm": _layer_norm,
    "nn.functional.rms_norm": lambda record, values, more: nn.RMSNorm(tuple(more["normalized_shape"]), more.get("eps")),
    "nn.functional.group_norm": lambda record, values, more: nn.GroupNorm(
        more["num_groups"], values["weight"].shape[0], more.get("eps", 1e-5)
    ),
    "nn.functional.batch_norm": _batch_norm,
    "nn.functional.embedding": lambda record, values, more: (
        None if {"padding_idx", "max_norm"} & set(more) else nn.Embedding(*values["weight"].shape)
    ),
}

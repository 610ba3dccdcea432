"""Names of torch's functions, and what tracing has to know about some of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import resolve_name
from torch.utils._device import _device_constructors

# Attributes and methods that describe a tensor without its values are not recorded, because they return no tensor.
# These functions read values. They are computed for constants, and refused for all other tensors.
VALUE_QUERIES = frozenset(
    ("item", "tolist", "numpy", "__bool__", "__int__", "__float__", "__index__", "__complex__", "__array__",
     "__contains__", "equal", "allclose", "is_nonzero")
)  # fmt: skip
# Attributes of a tensor that tell its device, with their values on the CPU.
ON_CPU: Mapping[str, object] = {"device": torch.device("cpu"), "is_meta": False, "is_cpu": True, "is_cuda": False}
# Functions that draw random numbers. Dropout is the identity in evaluation, and random only with training=True.
RANDOM = frozenset(
    ("rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like", "bernoulli", "bernoulli_",
     "normal", "normal_", "uniform_", "exponential_", "geometric_", "cauchy_", "log_normal_", "random_", "multinomial",
     "poisson", "binomial", "gumbel_softmax", "fractional_max_pool2d", "fractional_max_pool3d",
     "fractional_max_pool2d_with_indices", "fractional_max_pool3d_with_indices", "trunc_normal_")
)  # fmt: skip
DROPOUT = frozenset(
    ("dropout", "dropout1d", "dropout2d", "dropout3d", "dropout_", "alpha_dropout", "alpha_dropout_", "feature_dropout",
     "feature_alpha_dropout", "feature_dropout_", "feature_alpha_dropout_")
)  # fmt: skip
REFUSED: Mapping[str, str] = {
    "_pack_padded_sequence": "it packs a sequence, whose lengths are values of the input; give the recurrent layer"
    " padded sequences",
    "nonzero": "the shape of a value depends on the input, through nonzero; use torch.where or a mask",
    "masked_select": "the shape of a value depends on the input, through masked_select; use torch.where or a mask",
    "unique": "the shape of a value depends on the input, through unique; use operations that keep shapes",
    "__set__": "it assigns to an attribute of a tensor, such as data; make a new tensor instead",
}
IDENTITIES = frozenset(("cpu", "cuda", "requires_grad_", "retain_grad", "register_hook", "align_as"))
# Functions that only arrange values, so that computing one twice costs nothing.
VIEWS = frozenset(
    ("view", "reshape", "permute", "transpose", "swapaxes", "swapdims", "movedim", "moveaxis", "t", "T", "mT",
     "adjoint", "unsqueeze", "squeeze", "flatten", "unflatten", "expand", "expand_as", "view_as", "reshape_as",
     "broadcast_to", "unbind", "chunk", "split", "tensor_split", "split_with_sizes", "narrow", "select", "__getitem__",
     "unfold", "detach", "diagonal", "real", "imag", "contiguous", "clone", "broadcast_tensors", "data", "alias")
)  # fmt: skip
# Views in which the order of the values is that of the tensor, so that reshaping undoes them.
RESHAPES = frozenset(
    ("view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as", "reshape_as", "detach", "data",
     "alias")
)  # fmt: skip
# Functions that make a tensor from numbers. Those with data become constants, the others calls of the network.
FACTORIES = frozenset(_device_constructors())
DATA_FACTORIES = frozenset((torch.tensor, torch.as_tensor, torch.asarray, torch.scalar_tensor, torch.from_file))
IN_PLACE_OPERATORS = frozenset(
    ("__iadd__", "__isub__", "__imul__", "__idiv__", "__itruediv__", "__ifloordiv__", "__imod__", "__ipow__",
     "__iand__", "__ior__", "__ixor__", "__ilshift__", "__irshift__")
)  # fmt: skip
UNSTATED = ("_stacklevel", "inplace", "out")  # arguments that change nothing of a function's value


@cache
def function_name(function: Callable[..., Any]) -> str:
    """Return the name of a function of torch in the form of `FunctionCalls`, or an empty text if it has none.

    Examples are "cat", "nn.functional.pad", "fft.fft" and "ops.aten.add.Tensor", ".add" for a method, and ".T" for an
    attribute.
    """
    name: str = resolve_name(function) or getattr(function, "__name__", "")
    if name.startswith("torch.Tensor."):
        return "." + name.removeprefix("torch.Tensor.").removesuffix(".__get__")
    last = name.rpartition(".")[2]
    for home, prefix in ((torch, ""), (F, "nn.functional.")):
        if last and getattr(home, last, None) is function:
            return prefix + last
    if isinstance(function, torch._ops.OpOverload | torch._ops.OpOverloadPacket):
        return f"ops.{name}"
    return name.removeprefix("torch.") if resolve_name(function) else ""


def last_part(name: str) -> str:
    """Return the last part of a function's name: "pad" of "nn.functional.pad"."""
    return name.rpartition(".")[2]


@cache
def _defaults(function: Callable[..., Any]) -> Mapping[str, object]:
    """Return the default values of a function of Python by argument; empty for a function without a signature."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return {}
    return {one.name: one.default for one in parameters if one.default is not one.empty}


def stated_options(function: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments that differ from their defaults and can change the value of a function."""
    defaults = _defaults(function)
    return {
        name: value
        for name, value in options.items()
        if name not in UNSTATED
        and not (name in defaults and type(value) is type(defaults[name]) and value == defaults[name])
    }


def is_in_place_name(last: str) -> bool:
    """Return whether a function of this name changes its first argument."""
    if last.startswith("__") and last.endswith("__"):
        return last == "__setitem__" or last in IN_PLACE_OPERATORS
    return last.endswith("_")

"""Layers of torch.nn in a module: which class a layer is, and how it is constructed again."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

# Constructor arguments of all recurrent layers, whose signature is (*args, **kwargs).
RECURRENT_ARGUMENTS = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional")
# Constructor arguments of modules whose signature does not name them.
CONSTRUCTOR_ARGUMENTS: Mapping[type[nn.Module], tuple[str, ...]] = {
    nn.RNN: (*RECURRENT_ARGUMENTS, "nonlinearity"),
    nn.LSTM: (*RECURRENT_ARGUMENTS, "proj_size"),
    nn.GRU: RECURRENT_ARGUMENTS,
}
SHAPES = ("normalized_shape", "unflattened_size")  # arguments for which (5, 5) means something else than 5
# Modules of torch.nn that hold layers and are none.
CONTAINERS = (
    nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict, nn.Transformer,
    nn.TransformerEncoder, nn.TransformerDecoder, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer,
)  # fmt: skip
# What a subclass may define and still compute what its base computes.
HARMLESS = frozenset(
    ("__init__", "__repr__", "__doc__", "__module__", "__annotations__", "__constants__", "__static_attributes__",
     "__firstlineno__", "__qualname__", "__dict__", "__weakref__", "__new__", "__orig_bases__", "__parameters__",
     "extra_repr", "reset_parameters", "_load_from_state_dict", "_save_to_state_dict", "_get_name",
     "__class_getitem__")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """The class of torch.nn and the constructor arguments that make a layer again."""

    kind: str  # "Conv1d"
    options: tuple[tuple[str, Any], ...] = ()  # those that differ from the defaults


def torch_class(module: nn.Module) -> type[nn.Module] | None:
    """Return the first class of torch.nn among the classes of a module, or None if only nn.Module is."""
    found: type[nn.Module] | None = next(
        (one for one in type(module).__mro__ if one is not nn.Module and getattr(nn, one.__name__, None) is one), None
    )
    return found


def overrides(module: nn.Module, kind: type[nn.Module], allowed: frozenset[str] = frozenset()) -> bool:
    """Return whether the module's own classes define something that `kind` computes with."""
    for one in type(module).__mro__:
        if one is kind:
            return False
        for name, value in vars(one).items():
            if isinstance(value, property):
                return True
            if name not in HARMLESS and name not in allowed and callable(value) and hasattr(kind, name):
                return True
    return False


def rebuilt(module: nn.Module, kind: type[nn.Module], exact: bool = True) -> Rebuilt | None:
    """Return how to construct a layer of torch.nn again, or None if its class keeps too few of its arguments.

    Args:
        module: A layer.
        kind: The class of torch.nn that it is an instance of.
        exact: Whether the layer may have no parameters and buffers beside those of its class.
    """
    options = arguments(module, kind)
    found = Rebuilt(kind.__name__, tuple(_changed_arguments(kind, options)))
    try:
        again = construct_leaf_on_meta(found)
        own, wanted = ({name: value.shape for name, value in one.state_dict().items()} for one in (module, again))
        if arguments(again, kind) != options or not all(own.get(name) == shape for name, shape in wanted.items()):
            return None
    except (TypeError, ValueError, AttributeError, RuntimeError):  # an argument is missing, or is no number
        return None
    own_names = {name for name, value in module.named_parameters(recurse=False) if value is not None}
    again_names = {name for name, _ in again.named_parameters(recurse=False)}
    return found if (own_names == again_names if exact else own_names >= again_names) else None


def construct_leaf(found: Rebuilt) -> nn.Module:
    """Construct a layer of torch.nn."""
    made: nn.Module = getattr(nn, found.kind)(**dict(found.options))
    return made


def construct_leaf_on_meta(found: Rebuilt) -> nn.Module:
    """Construct a layer on the meta device, without memory for its weights."""
    with torch.device("meta"):
        return construct_leaf(found)


def arguments(module: nn.Module, kind: type[nn.Module] | None = None) -> dict[str, Any]:
    """Return the constructor arguments of a module of torch.nn, as far as the module keeps them as attributes."""
    kind = kind or type(module)
    if isinstance(module, nn.MultiheadAttention):
        kept = ("embed_dim", "num_heads", "add_zero_attn", "kdim", "vdim", "batch_first")
        has = {"bias": module.in_proj_bias is not None, "add_bias_kv": module.bias_k is not None}
        return {**{name: getattr(module, name) for name in kept}, **has}
    names = CONSTRUCTOR_ARGUMENTS.get(kind) or tuple(_constructor(kind.__name__))
    found = {name: getattr(module, name) for name in names if hasattr(module, name) and name != "inplace"}
    return {name: tuple(value) if name in SHAPES else _plain(value) for name, value in found.items()}


def _changed_arguments(kind: type[nn.Module], options: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the arguments that differ from the defaults in the constructor's signature."""
    parameters = _constructor(kind.__name__)
    return [(name, value) for name, value in options.items() if parameters.get(name, _ANY).default != value]


@cache
def _constructor(kind: str) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(getattr(nn, kind).__init__).parameters


_ANY = inspect.Parameter("any", inspect.Parameter.KEYWORD_ONLY)  # stands for a parameter without a default


def _plain(value: Any) -> Any:
    """Return an argument as a number, a text or a tuple: True for a bias tensor, and 3 for (3, 3)."""
    if isinstance(value, Tensor):
        return True
    if isinstance(value, tuple | list):
        return value[0] if len(set(value)) == 1 and len(value) > 1 else tuple(value)
    return value


def run_leaf(
    found: Rebuilt, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], empty: bool = True
) -> Any:
    """Run a layer of torch.nn; on the meta device, which is `empty`, in closed form where torch takes long."""
    kind: type[nn.Module] = getattr(nn, found.kind)
    if not empty:
        return kind.forward(module, *args, **kwargs)
    if kind is nn.Linear and len(args) == 1 and not kwargs and args[0].shape[-1] == module.in_features:
        shape = (*args[0].shape[:-1], module.out_features)
        return torch.empty(shape, dtype=args[0].dtype, device=args[0].device)  # torch's own takes 1 ms
    if issubclass(kind, nn.RNNBase):
        return recurrent_outputs(module, *args, **kwargs)  # type: ignore[arg-type]
    if issubclass(kind, nn.modules.batchnorm._NormBase) and args and isinstance(args[0], Tensor):
        return torch.empty_like(args[0])  # norms keep the shape, and running one takes 1 ms
    return kind.forward(module, *args, **kwargs)


def recurrent_outputs(module: nn.RNNBase, input: Tensor, hx: Any = None) -> tuple[Tensor, Any]:
    """Return empty tensors of the shapes that a recurrent layer returns: its outputs and its last state or states.

    Args:
        module: The layer.
        input: Sequences, (B, T, D) or (T, B, D) as the layer takes them, or one sequence (T, D).
        hx: Initial state or states, which do not change the shapes.

    Raises:
        ValueError: The input is no sequence, or has the wrong number of features.
    """
    if not isinstance(input, Tensor) or input.ndim not in (2, 3):
        raise ValueError("a recurrent layer takes padded sequences, (B, T, D)")
    if input.shape[-1] != module.input_size:
        raise ValueError(f"a recurrent layer of {module.input_size} features is given {input.shape[-1]}")
    directions, hidden = 2 if module.bidirectional else 1, module.proj_size or module.hidden_size
    batch = () if input.ndim == 2 else (input.shape[0 if module.batch_first else 1],)
    states = [(directions * module.num_layers, *batch, size) for size in (hidden, module.hidden_size)]
    shapes = ((*input.shape[:-1], directions * hidden), *states)
    out, h, c = (torch.empty(shape, dtype=input.dtype, device=input.device) for shape in shapes)
    return out, (h, c) if isinstance(module, nn.LSTM) else h

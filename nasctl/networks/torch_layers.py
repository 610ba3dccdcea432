"""Layers for the parts of a traced torch module: an equal layer of nasctl, or else a wrapped layer of torch."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from nasctl.networks import products
from nasctl.networks.executable import construct
from nasctl.networks.layers import (
    AvgPool,
    BatchNorm,
    ChannelShuffle,
    Conv,
    Flatten,
    GlobalAvgPool,
    HSigmoid,
    HSwish,
    Linear,
    MaxPool,
    ReLU,
    ReLU6,
    Sigmoid,
    Swish,
)
from nasctl.networks.node import Call, Layer, Shape
from nasctl.networks.sequences import GELU, Embedding, LayerNorm, Softmax, Tanh

BATCH = 2  # examples with which a layer runs on the meta device


class LayerFacts(NamedTuple):
    """Output shape and costs of a layer on given input shapes, for one example."""

    out: Shape
    params: int
    macs: int


class MetaDeviceLayer(Layer):
    """A layer whose shapes and costs are found by running its module on torch's meta device, which holds no values."""

    __slots__ = ()
    dtypes: tuple[str, ...]  # of the inputs, such as "int64"; if empty, all inputs are float32

    @abstractmethod
    def module(self, *inputs: Shape) -> Call: ...

    def out(self, *inputs: Shape) -> Shape:
        return run_on_meta(self, inputs).out

    def params(self, *inputs: Shape) -> int:
        return run_on_meta(self, inputs).params

    def macs(self, *inputs: Shape) -> int:
        return run_on_meta(self, inputs).macs


@dataclass(frozen=True, slots=True)
class Leaf(MetaDeviceLayer):
    """A layer of torch.nn, by its name and the arguments of its constructor."""

    kind: str  # "nn.Conv1d"
    options: tuple[tuple[str, Any], ...] = ()
    dtypes: tuple[str, ...] = ()

    def module(self, *inputs: Shape) -> Call:
        return Call(FIRST_OUTPUT_MODULES.get(self.kind, self.kind), **dict(self.options))


@dataclass(frozen=True, slots=True)
class Function(MetaDeviceLayer):
    """A part of a forward method that is no layer: functions of torch, and parameters that belong to no layer."""

    steps: tuple[tuple[Any, ...], ...]  # the arguments of `FunctionCalls`
    weights: tuple[tuple[str, Shape, float | None], ...] = ()
    dtypes: tuple[str, ...] = ()

    def module(self, *inputs: Shape) -> Call:
        return Call(FunctionCalls, *self.steps, **({"weights": self.weights} if self.weights else {}))


class FunctionCalls(nn.Module):
    """A sequence of calls of torch's functions, whose output is the result of the last call.

    Args:
        *steps: For each call a function ("nn.functional.pad") or a method (".view"), its positional arguments, and its
            keyword arguments. In arguments, "$0", "$1" and so on stand for the inputs and then for the results of
            earlier steps, "$batch*2" for twice the batch, "$device" for the device of the first input, "$.name" for a
            weight, "$float32" and the like for the object of that name in torch, "$inf" and the like for the float. A
            tuple that begins with "$list" or "$slice" stands for a list or a slice.
        weights: For each parameter a name, a shape and its constant initial value. None as the initial value means
            draws from N(0, 0.02^2).
    """

    def __init__(self, *steps: tuple, weights: tuple = ()) -> None:  # type: ignore[type-arg]
        super().__init__()
        self.steps = steps
        for name, shape, fill in weights:
            first = torch.randn(shape) * 0.02 if fill is None else torch.full(shape, fill)
            self.register_parameter(name, nn.Parameter(first))

    def forward(self, *inputs: Tensor) -> Tensor:
        values: list = list(inputs)  # type: ignore[type-arg]
        for name, positional, by_name in self.steps:
            args = [self.resolved(one, values) for one in positional]
            options = {key: self.resolved(one, values) for key, one in by_name}
            function = getattr(args.pop(0), name[1:]) if name[0] == "." else torch
            for part in [] if name[0] == "." else name.split("."):
                function = getattr(function, part)
            values.append(function(*args, **options) if callable(function) else function)
        return values[-1]  # type: ignore[no-any-return]

    def resolved(self, argument: object, values: list) -> object:  # type: ignore[type-arg]
        """Return the object that an argument stands for."""
        if isinstance(argument, tuple):
            kind = argument[0] if argument and argument[0] in ("$list", "$slice") else ""
            parts = [self.resolved(one, values) for one in (argument[1:] if kind else argument)]
            return slice(*parts) if kind == "$slice" else parts if kind else tuple(parts)
        if not isinstance(argument, str) or argument[:1] != "$":
            return argument
        name = argument[1:]
        if name.startswith("batch*"):
            return values[0].shape[0] * int(name[6:])  # torch.export keeps this dimension dynamic
        if name == "device":
            return values[0].device
        if name == "...":
            return ...
        if name[0] == ".":
            return self.get_parameter(name[1:])
        if name.isdigit():
            return values[int(name)]
        return getattr(torch, name) if hasattr(torch, name) else float(name)


class SequenceRNN(nn.RNN):
    """An RNN that returns its outputs without its last state."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x)[0]


class SequenceLSTM(nn.LSTM):
    """An LSTM that returns its outputs without its last state."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x)[0]


class SequenceGRU(nn.GRU):
    """A GRU that returns its outputs without its last state."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x)[0]


class AttentionOutput(nn.MultiheadAttention):
    """A multi-head attention that returns its output without its weights."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(query, key, value, need_weights=False)[0]


# Layers of torch that return several values, with subclasses that return only the first.
FIRST_OUTPUT_MODULES: Mapping[str, type[nn.Module]] = {
    "nn.RNN": SequenceRNN,
    "nn.LSTM": SequenceLSTM,
    "nn.GRU": SequenceGRU,
    "nn.MultiheadAttention": AttentionOutput,
}
# Constructor arguments of all recurrent layers, whose signature is (*args, **kwargs).
RECURRENT_ARGUMENTS = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional")
# Constructor arguments of modules whose signature does not name them.
CONSTRUCTOR_ARGUMENTS: Mapping[type[nn.Module], tuple[str, ...]] = {
    nn.RNN: (*RECURRENT_ARGUMENTS, "nonlinearity"),
    nn.LSTM: (*RECURRENT_ARGUMENTS, "proj_size"),
    nn.GRU: RECURRENT_ARGUMENTS,
}
SHAPES = ("normalized_shape", "unflattened_size")  # arguments for which (5, 5) means something else than 5
# The layer of nasctl that a module of torch may equal; `equal_layer` compares the two.
PRIMITIVES: Mapping[type[nn.Module], Callable[[Any], Layer]] = {
    nn.Conv2d: lambda m: Conv(
        m.out_channels, m.kernel_size[0], m.stride[0], m.groups, m.dilation[0], m.bias is not None
    ),
    nn.BatchNorm2d: lambda m: BatchNorm(m.affine),
    nn.ReLU: lambda m: ReLU(),
    nn.ReLU6: lambda m: ReLU6(),
    nn.Hardswish: lambda m: HSwish(),
    nn.SiLU: lambda m: Swish(),
    nn.Sigmoid: lambda m: Sigmoid(),
    nn.Hardsigmoid: lambda m: HSigmoid(),
    nn.GELU: lambda m: GELU(),
    nn.Tanh: lambda m: Tanh(),
    nn.Softmax: lambda m: Softmax(),
    nn.AvgPool2d: lambda m: AvgPool(_side(m.kernel_size), _side(m.stride)),
    nn.MaxPool2d: lambda m: MaxPool(_side(m.kernel_size), _side(m.stride)),
    nn.AdaptiveAvgPool2d: lambda m: GlobalAvgPool(),
    nn.Flatten: lambda m: Flatten(),
    nn.Linear: lambda m: Linear(m.out_features, m.bias is not None),
    nn.LayerNorm: lambda m: LayerNorm(),
    nn.Embedding: lambda m: Embedding(m.num_embeddings, m.embedding_dim),
    nn.ChannelShuffle: lambda m: ChannelShuffle(m.groups),
}


def equal_layer(module: nn.Module, shapes: tuple[Shape, ...], out: Shape, dtypes: tuple[str, ...] = ()) -> Layer | None:
    """Return the layer that equals a module of torch.nn, or None if the module cannot be constructed again.

    Args:
        module: A module of torch.nn.
        shapes: Shapes of its inputs.
        out: Shape of its output.
        dtypes: Types of its inputs; empty if all are float32.
    """
    options = arguments(module)
    if type(module) in PRIMITIVES:
        own = PRIMITIVES[type(module)](module)
        if own.out(*shapes) == out and arguments(_construct_on_meta(own.module(*shapes))) == options:
            return own
    found = Leaf(f"nn.{type(module).__name__}", tuple(_changed_arguments(module, options)), dtypes)
    if getattr(nn, type(module).__name__, None) is not type(module):
        return None
    try:
        again = _construct_on_meta(found.module(*shapes))
    except TypeError:  # the constructor needs an argument that the module does not keep
        return None
    sizes = [{name: value.shape for name, value in one.state_dict().items()} for one in (module, again)]
    return found if sizes[0] == sizes[1] and arguments(again) == options else None


def arguments(module: nn.Module) -> dict[str, Any]:
    """Return the constructor arguments of a module of torch.nn, as far as the module keeps them as attributes."""
    kind = next((one for one in CONSTRUCTOR_ARGUMENTS if isinstance(module, one)), None)
    if isinstance(module, nn.MultiheadAttention):
        kept = ("embed_dim", "num_heads", "add_zero_attn", "kdim", "vdim", "batch_first")
        has = {"bias": module.in_proj_bias is not None, "add_bias_kv": module.bias_k is not None}
        return {**{name: getattr(module, name) for name in kept}, **has}
    names = CONSTRUCTOR_ARGUMENTS[kind] if kind else tuple(inspect.signature(type(module).__init__).parameters)
    found = {name: getattr(module, name) for name in names if hasattr(module, name) and name != "inplace"}
    return {name: tuple(value) if name in SHAPES else _plain(value) for name, value in found.items()}


def _changed_arguments(module: nn.Module, options: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the arguments that differ from the defaults in the constructor's signature."""
    parameters = inspect.signature(type(module).__init__).parameters
    return [(name, value) for name, value in options.items() if parameters.get(name, _ANY).default != value]


_ANY = inspect.Parameter("any", inspect.Parameter.KEYWORD_ONLY)  # stands for a parameter without a default


def _plain(value: Any) -> Any:
    """Return an argument as a number, a text or a tuple: True for a bias tensor, and 3 for (3, 3)."""
    if isinstance(value, Tensor):
        return True
    if isinstance(value, tuple | list):
        return value[0] if len(set(value)) == 1 and len(value) > 1 else tuple(value)
    return value


def _side(value: int | tuple[int, ...]) -> int:
    """Return the size of a square kernel or stride."""
    return value if isinstance(value, int) else value[0]


def _construct_on_meta(call: Call) -> nn.Module:
    """Construct a module on the meta device, without memory for its weights."""
    with torch.device("meta"):
        return construct(call)


@lru_cache(maxsize=1 << 14)
def run_on_meta(layer: MetaDeviceLayer, shapes: tuple[Shape, ...]) -> LayerFacts:
    """Run a layer on the meta device, which computes shapes and no values."""
    module = _construct_on_meta(layer.module(*shapes)).eval()
    dtypes = layer.dtypes or ("float32",) * len(shapes)
    inputs = [
        torch.empty(BATCH, *shape, dtype=getattr(torch, dtype), device="meta")
        for shape, dtype in zip(shapes, dtypes, strict=True)
    ]
    counted = products.count_products(module, inputs)
    params = sum(prod(parameter.shape) for parameter in module.parameters())
    return LayerFacts(tuple(counted.out.shape[1:]), params, counted.macs)

"""Layers for what modules written elsewhere hold: nasctl's own primitive where one is equal, one of torch elsewhere."""

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
from torch.utils.flop_counter import FlopCounterMode

from nasctl.networks.executable import made
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

BATCH = 2  # examples that a layer is measured on


class Measure(NamedTuple):
    """What a layer of torch makes of shapes, and what it costs."""

    out: Shape
    params: int
    macs: int


class Measured(Layer):
    """A layer whose shapes and costs are found by running its module on torch's meta device, which computes nothing."""

    __slots__ = ()
    dtypes: tuple[str, ...]  # of its inputs: "int64"; float32 if there are none

    @abstractmethod
    def module(self, *inputs: Shape) -> Call: ...

    def out(self, *inputs: Shape) -> Shape:
        return measured(self, inputs).out

    def params(self, *inputs: Shape) -> int:
        return measured(self, inputs).params

    def macs(self, *inputs: Shape) -> int:
        return measured(self, inputs).macs


@dataclass(frozen=True, slots=True)
class Leaf(Measured):
    """A layer of torch.nn by its name and its constructor's arguments."""

    kind: str  # "nn.Conv1d"
    options: tuple[tuple[str, Any], ...] = ()
    dtypes: tuple[str, ...] = ()

    def module(self, *inputs: Shape) -> Call:
        return Call(FIRST.get(self.kind, self.kind), **dict(self.options))


@dataclass(frozen=True, slots=True)
class Function(Measured):
    """A piece of a forward method that is no layer: functions of torch, and parameters that belong to no layer."""

    steps: tuple[tuple[Any, ...], ...]  # as `Piece` takes them
    weights: tuple[tuple[str, Shape, float | None], ...] = ()
    dtypes: tuple[str, ...] = ()

    def module(self, *inputs: Shape) -> Call:
        return Call(Piece, *self.steps, **({"weights": self.weights} if self.weights else {}))


class Piece(nn.Module):
    """Calls functions of torch, one after another, and returns what the last one does.

    Args:
        steps: A function ("nn.functional.pad") or a method (".view"), its arguments, and those by name. Of the texts
            among them "$0", "$1" stand for the inputs and then for the results of the steps, "$batch*2" for twice the
            number of examples, "$device" for where they are, "$.name" for a weight, "$float32" and the like for what
            torch and Python call so. A tuple that begins with "$list" or "$slice" stands for one.
        weights: A name, a shape, and the number that all of it is at first; N(0, 0.02^2) if there is none.
    """

    def __init__(self, *steps: tuple, weights: tuple = ()) -> None:  # type: ignore[type-arg]
        super().__init__()
        self.steps = steps
        for name, shape, fill in weights:
            first = torch.randn(shape) * 0.02 if fill is None else torch.full(shape, fill)
            self.register_parameter(name, nn.Parameter(first))

    def forward(self, *inputs: Tensor) -> Tensor:
        values: list = list(inputs)  # type: ignore[type-arg]
        for name, told, named in self.steps:
            args = [self.meant(one, values) for one in told]
            options = {key: self.meant(one, values) for key, one in named}
            function = getattr(args.pop(0), name[1:]) if name[0] == "." else torch
            for part in [] if name[0] == "." else name.split("."):
                function = getattr(function, part)
            values.append(function(*args, **options) if callable(function) else function)
        return values[-1]  # type: ignore[no-any-return]

    def meant(self, told: object, values: list) -> object:  # type: ignore[type-arg]
        """What an argument stands for."""
        if isinstance(told, tuple):
            kind = told[0] if told and told[0] in ("$list", "$slice") else ""
            parts = [self.meant(one, values) for one in (told[1:] if kind else told)]
            return slice(*parts) if kind == "$slice" else parts if kind else tuple(parts)
        if not isinstance(told, str) or told[:1] != "$":
            return told
        name = told[1:]
        if name.startswith("batch*"):
            return values[0].shape[0] * int(name[6:])  # a number that torch.export can leave open
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
    """The outputs of an RNN alone, without its last state."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x)[0]


class SequenceLSTM(nn.LSTM):
    """The outputs of an LSTM alone, without its last state."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x)[0]


class SequenceGRU(nn.GRU):
    """The outputs of a GRU alone, without its last state."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x)[0]


class Attention(nn.MultiheadAttention):
    """The outputs of a multi-head attention alone, without its weights."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(query, key, value, need_weights=False)[0]


# Layers that return several values, of which a network uses the first.
FIRST: Mapping[str, type[nn.Module]] = {
    "nn.RNN": SequenceRNN,
    "nn.LSTM": SequenceLSTM,
    "nn.GRU": SequenceGRU,
    "nn.MultiheadAttention": Attention,
}
RECURRENT = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional")
# What the constructor of a module takes, where its signature does not say.
ARGUMENTS: Mapping[type[nn.Module], tuple[str, ...]] = {
    nn.RNN: (*RECURRENT, "nonlinearity"),
    nn.LSTM: (*RECURRENT, "proj_size"),
    nn.GRU: RECURRENT,
}
SHAPES = ("normalized_shape", "unflattened_size")  # arguments of which (5, 5) is not 5
# The primitive that a layer may be equal to; whether it is, `equal` finds out.
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
    nn.AvgPool2d: lambda m: AvgPool(_one(m.kernel_size), _one(m.stride)),
    nn.MaxPool2d: lambda m: MaxPool(_one(m.kernel_size), _one(m.stride)),
    nn.AdaptiveAvgPool2d: lambda m: GlobalAvgPool(),
    nn.Flatten: lambda m: Flatten(),
    nn.Linear: lambda m: Linear(m.out_features, m.bias is not None),
    nn.LayerNorm: lambda m: LayerNorm(),
    nn.Embedding: lambda m: Embedding(m.num_embeddings, m.embedding_dim),
    nn.ChannelShuffle: lambda m: ChannelShuffle(m.groups),
}


def layer(module: nn.Module, shapes: tuple[Shape, ...], out: Shape, dtypes: tuple[str, ...] = ()) -> Layer | None:
    """The layer that is equal to a module of torch.nn; none if it cannot be made again from its attributes.

    Args:
        module: The layer as it was found.
        shapes: Of its inputs.
        out: Of its output.
        dtypes: Of its inputs, unless they are all float32.
    """
    options = arguments(module)
    if type(module) in PRIMITIVES:
        own = PRIMITIVES[type(module)](module)
        if own.out(*shapes) == out and arguments(_blank(own.module(*shapes))) == options:
            return own
    found = Leaf(f"nn.{type(module).__name__}", tuple(_given(module, options)), dtypes)
    if getattr(nn, type(module).__name__, None) is not type(module):
        return None
    try:
        again = _blank(found.module(*shapes))
    except TypeError:  # the constructor wants what the module does not keep
        return None
    sizes = [{name: value.shape for name, value in one.state_dict().items()} for one in (module, again)]
    return found if sizes[0] == sizes[1] and arguments(again) == options else None


def arguments(module: nn.Module) -> dict[str, Any]:
    """What the constructor of a module of torch.nn was called with, as far as the module keeps it."""
    kind = next((one for one in ARGUMENTS if isinstance(module, one)), None)
    if isinstance(module, nn.MultiheadAttention):
        kept = ("embed_dim", "num_heads", "add_zero_attn", "kdim", "vdim", "batch_first")
        has = {"bias": module.in_proj_bias is not None, "add_bias_kv": module.bias_k is not None}
        return {**{name: getattr(module, name) for name in kept}, **has}
    names = ARGUMENTS[kind] if kind else tuple(inspect.signature(type(module).__init__).parameters)
    found = {name: getattr(module, name) for name in names if hasattr(module, name) and name != "inplace"}
    return {name: tuple(value) if name in SHAPES else _plain(value) for name, value in found.items()}


def _given(module: nn.Module, options: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Those arguments that are not at the default of the constructor's signature."""
    parameters = inspect.signature(type(module).__init__).parameters
    return [(name, value) for name, value in options.items() if parameters.get(name, _ANY).default != value]


_ANY = inspect.Parameter("any", inspect.Parameter.KEYWORD_ONLY)


def _plain(value: Any) -> Any:
    """An argument as a number, a text or a tuple: a bias is there or not, and (3, 3) is 3."""
    if isinstance(value, Tensor):
        return True
    if isinstance(value, tuple | list):
        return value[0] if len(set(value)) == 1 and len(value) > 1 else tuple(value)
    return value


def _one(value: int | tuple[int, ...]) -> int:
    return value if isinstance(value, int) else value[0]


def _blank(call: Call) -> nn.Module:
    """A module without memory for its weights."""
    with torch.device("meta"):
        return made(call)


@lru_cache(maxsize=1 << 14)
def measured(layer: Measured, shapes: tuple[Shape, ...]) -> Measure:
    """Run a layer on the meta device; MACs are half of the FLOPs that torch's own counter sees."""
    module = _blank(layer.module(*shapes)).eval()
    dtypes = layer.dtypes or ("float32",) * len(shapes)
    inputs = [
        torch.empty(BATCH, *shape, dtype=getattr(torch, dtype), device="meta")
        for shape, dtype in zip(shapes, dtypes, strict=True)
    ]
    with torch.enable_grad(), FlopCounterMode(display=False) as counter:  # without gradients attention is one operator
        out = module(*inputs)
    params = sum(prod(parameter.shape) for parameter in module.parameters())
    return Measure(tuple(out.shape[1:]), params, counter.get_total_flops() // (2 * BATCH))

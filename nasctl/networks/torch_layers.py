"""Layers for the parts of a traced torch module: an equal layer of nasctl, or else a wrapped layer of torch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from nasctl.networks import products
from nasctl.networks.executable import construct
from nasctl.networks.function_calls import Constant, FunctionCalls
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
from nasctl.networks.leaf_modules import Rebuilt, arguments
from nasctl.networks.node import Call, Layer, Shape
from nasctl.networks.sequences import GELU, Embedding, LayerNorm, Softmax, Tanh

BATCH = 2  # examples with which a layer runs on the meta device


class LayerFacts(NamedTuple):
    """Output shape and costs of a layer on given input shapes, for one example."""

    out: Shape
    params: int
    macs: int


class MetaDeviceLayer(Layer):
    """A layer whose shapes and costs are found by running its module on torch's meta device, which holds no values.

    Two such layers are equal if their texts are. Python's own equality holds 1, 1.0 and True for equal, and 0.0 and
    -0.0, but functions of torch do not, and caches by layer would hand the facts about one layer to the other.
    """

    __slots__ = ()
    dtypes: tuple[str, ...]  # of the inputs, such as "int64"; if empty, all inputs are float32

    @cached_property
    def _text(self) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        return self is other or (type(self) is type(other) and self._text == other._text)

    def __hash__(self) -> int:
        return hash(self._text)

    @abstractmethod
    def module(self, *inputs: Shape) -> Call: ...

    def out(self, *inputs: Shape) -> Shape:
        return run_on_meta(self, inputs).out

    def params(self, *inputs: Shape) -> int:
        return run_on_meta(self, inputs).params

    def macs(self, *inputs: Shape) -> int:
        return run_on_meta(self, inputs).macs


@dataclass(frozen=True, slots=True, eq=False)  # equality is by text
class Leaf(MetaDeviceLayer):
    """A layer of torch.nn, by its name and the arguments of its constructor."""

    kind: str  # "nn.Conv1d"
    options: tuple[tuple[str, Any], ...] = ()
    dtypes: tuple[str, ...] = ()

    def module(self, *inputs: Shape) -> Call:
        return Call(FIRST_OUTPUT_MODULES.get(self.kind, self.kind), **dict(self.options))


@dataclass(frozen=True, slots=True)
class Repeated(Layer):
    """A layer on each of the parts of an example, such as the frames of a video: (times, ...) -> (times, ...).

    The layer's module is given all parts of all examples as its batch.
    """

    layer: Layer
    times: int

    @property
    def rows(self) -> int | None:
        return self.times

    def out(self, *inputs: Shape) -> Shape:
        return self.times, *self.layer.out(*(shape[1:] for shape in inputs))

    def params(self, *inputs: Shape) -> int:
        return self.layer.params(*(shape[1:] for shape in inputs))

    def macs(self, *inputs: Shape) -> int:
        return self.times * self.layer.macs(*(shape[1:] for shape in inputs))

    def module(self, *inputs: Shape) -> Call:
        return self.layer.module(*(shape[1:] for shape in inputs))


@dataclass(frozen=True, slots=True, eq=False)  # equality is by text
class Function(MetaDeviceLayer):
    """A part of a forward method that is no layer: functions of torch, and parameters that belong to no layer."""

    steps: tuple[tuple[Any, ...], ...]  # the arguments of `FunctionCalls`
    weights: tuple[tuple[str, Shape, float | Constant | None], ...] = ()
    dtypes: tuple[str, ...] = ()
    constants: tuple[tuple[str, Constant], ...] = ()
    parts: tuple[tuple[str, str, tuple[tuple[str, Any], ...]], ...] = ()

    def module(self, *inputs: Shape) -> Call:
        weights = tuple(
            (name, shape, fill.literal if isinstance(fill, Constant) else fill) for name, shape, fill in self.weights
        )
        constants = tuple((name, *constant.literal) for name, constant in self.constants)
        options = {"weights": weights, "constants": constants, "parts": self.parts}
        return Call(FunctionCalls, *self.steps, **{name: value for name, value in options.items() if value})


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


def equal_layer(
    module: nn.Module, found: Rebuilt, shapes: tuple[Shape, ...], out: Shape, dtypes: tuple[str, ...] = ()
) -> Layer:
    """Return the layer of nasctl that equals a layer of torch.nn, or else the layer of torch.nn itself.

    Args:
        module: A layer of torch.nn, or of a subclass.
        found: How to construct it.
        shapes: Shapes of its inputs, without the batch.
        out: Shape of its output.
        dtypes: Types of its inputs; empty if all are float32.
    """
    kind = getattr(nn, found.kind)
    if kind in PRIMITIVES:
        own = PRIMITIVES[kind](module)
        call = own.module(*shapes)
        if own.out(*shapes) == out and _rebuilt_by(call) == arguments(module, kind):
            return own
    return Leaf(f"nn.{found.kind}", found.options, dtypes)


def _rebuilt_by(call: Call) -> dict[str, Any]:
    return arguments(_construct_on_meta(call))


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

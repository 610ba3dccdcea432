"""A network's module with its initial weights, which follow from the network and a seed alone."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from functools import lru_cache
from math import ceil, sqrt
from typing import Literal

import torch
from torch import Tensor, nn

from nasctl.networks.executable import Executable, made
from nasctl.networks.graph import Network
from nasctl.networks.node import Call, Layer, Shape

CHUNK = 1 << 20  # numbers; a stream is drawn in chunks of one size, so that it is the same however it grew

CACHE_BYTES = 256 << 20  # the most bytes of drawn numbers that stay in memory between networks: 64 Mi float32 numbers

Init = Literal["uniform", "normal", "kaiming"]  # distributions that weights are drawn from

WEIGHTED = (nn.Conv2d, nn.Linear)


class RandomStream:
    """A stream of numbers from U(-1, 1) or N(0, 1) that follows from its seed; drawn when first needed and kept."""

    def __init__(self, seed: int, normal: bool = False) -> None:
        # Normal streams have a seed of their own, because metrics draw inputs from N(0, 1) with the seed itself.
        self._generator = torch.Generator().manual_seed(seed + (normal << 62))
        self._normal = normal
        self._drawn = torch.empty(0)

    @property
    def nbytes(self) -> int:
        """Bytes of the numbers drawn so far."""
        return self._drawn.nbytes

    def first(self, number: int) -> Tensor:
        """Return the first `number` numbers of the stream, (number,)."""
        missing = ceil((number - len(self._drawn)) / CHUNK)
        if missing > 0:
            self._drawn = torch.cat([self._drawn, *(self._chunk() for _ in range(missing))])
        return self._drawn[:number]

    def _chunk(self) -> Tensor:
        empty = torch.empty(CHUNK)
        return (
            empty.normal_(generator=self._generator)
            if self._normal
            else empty.uniform_(-1, 1, generator=self._generator)
        )


class StreamCache:
    """Streams by seed and distribution; the least recently used ones are dropped so that the rest fit into `limit`.

    Args:
        limit: Bytes of all streams that are kept. A stream that is larger by itself is not kept.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._streams: dict[tuple[int, bool], RandomStream] = {}  # the most recently used last

    @property
    def nbytes(self) -> int:
        """Bytes of all streams that are kept."""
        return sum(stream.nbytes for stream in self._streams.values())

    def first(self, seed: int, normal: bool, number: int) -> Tensor:
        """Return the first `number` numbers of a stream, (number,)."""
        stream = self._streams.pop((seed, normal), None) or RandomStream(seed, normal)
        numbers = stream.first(number)
        if stream.nbytes <= self._limit:
            self._streams[seed, normal] = stream
        while self.nbytes > self._limit:
            del self._streams[next(iter(self._streams))]
        return numbers


_streams = StreamCache(CACHE_BYTES)


def initialised(network: Network, seed: int, init: Init = "uniform") -> nn.Module:
    """A new module of the network, in training mode, with the weights that belong to the seed.

    With "uniform" weights have PyTorch's own initial distribution: U(-1/sqrt(n), 1/sqrt(n)) for the weights and biases
    of convolutions and linear layers, n being the number of inputs of one output; ones, zeros and fresh running
    statistics for batch norms. They are consecutive slices of one stream of noise, scaled layer by layer, which
    candidates share (common random numbers). The numbers are those that torch's constructors draw after
    `torch.manual_seed(seed)`, but no generator is touched, the stream is drawn once, and modules are copies of
    templates.

    With "normal" weights are from N(0, 1), with "kaiming" from N(0, 2 / n), and biases are 0 with both.

    A layer of a plug-in that brings a module class of its own gets what its constructor gives it, under torch's global
    generator seeded anew and put back afterwards.
    """
    templates = [_template(node.layer, node.in_shapes) for node in network.nodes]
    parts = _made(templates, seed)
    noise, start = _streams.first(seed, init != "uniform", network.params), 0
    for part, template in zip(parts, templates, strict=True):
        if isinstance(template, Call):
            continue
        if isinstance(part, WEIGHTED):
            start = _fill(part, noise, start, init)
        elif isinstance(part, nn.BatchNorm2d):
            _reset(part)
    return Executable(network.nodes, network.output, parts)


@lru_cache(maxsize=1 << 14)
def _template(layer: Layer, in_shapes: tuple[Shape, ...]) -> nn.Module | Call:
    """A module to be copied, without memory for its weights; or the call, where only the constructor knows them."""
    call = layer.module(*in_shapes)
    if not isinstance(call.factory, str):
        return call
    with torch.device("meta"):
        part = made(call)
    known = type(part) in (*WEIGHTED, nn.BatchNorm2d) or not part.state_dict()
    return part if known else call


def _made(templates: Sequence[nn.Module | Call], seed: int) -> list[nn.Module]:
    own = any(isinstance(template, Call) for template in templates)
    with torch.random.fork_rng(devices=[], enabled=own):
        if own:
            torch.default_generator.manual_seed(seed)
        return [_own(template) if isinstance(template, Call) else _copied(template) for template in templates]


def _own(call: Call) -> nn.Module:
    """A plug-in's own module, in which nothing is overwritten that a metric may have noted."""
    module = made(call)
    for part in module.modules():
        if getattr(part, "inplace", False):
            part.inplace = False  # type: ignore[assignment]
    return module


def _copied(template: nn.Module) -> nn.Module:
    """A module that shares nothing that can be changed with its template, except for its tensors."""
    part = copy(template)
    for name, value in part.__dict__.items():  # parameters, buffers and a dozen kinds of hooks
        if isinstance(value, dict):
            part.__dict__[name] = value.copy()
    return part


def _fill(part: nn.Module, noise: Tensor, start: int, init: Init) -> int:
    """Take the part's weights and its bias from `noise[start:]`; returns where the next part goes on."""
    weight = part._parameters["weight"]
    assert weight is not None
    inputs = weight[0].numel()
    scale = {"uniform": 1 / sqrt(inputs), "normal": 1.0, "kaiming": sqrt(2 / inputs)}[init]
    for name, parameter in part._parameters.items():
        if parameter is not None:
            stop = start + parameter.numel()
            factor = scale if name == "weight" or init == "uniform" else 0.0
            part._parameters[name] = nn.Parameter((noise[start:stop] * factor).view(parameter.shape))
            start = stop
    return start


def _reset(part: nn.BatchNorm2d) -> None:
    for name, parameter in part._parameters.items():
        part._parameters[name] = None if parameter is None else nn.Parameter(_fresh(name, parameter))
    for name, buffer in part._buffers.items():
        part._buffers[name] = None if buffer is None else _fresh(name, buffer)


def _fresh(name: str, like: Tensor) -> Tensor:
    """What a new batch norm holds under that name: scale and variance 1, all else 0."""
    return torch.full(like.shape, name in ("weight", "running_var"), dtype=like.dtype)

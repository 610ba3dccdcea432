"""Initial weights of a network's module, which depend on the network and a seed alone."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from functools import lru_cache
from math import ceil, sqrt
from typing import Literal

import torch
from torch import Tensor, nn

from nasctl.networks.executable import Executable, construct
from nasctl.networks.graph import Network
from nasctl.networks.layer_kinds import weight_names
from nasctl.networks.node import Call, Layer, Node, Shape
from nasctl.networks.torch_functions import node_facts

CHUNK = 1 << 20  # numbers; a stream is drawn in chunks of one size, so that it is the same however it grew

CACHE_BYTES = 256 << 20  # the most bytes of drawn numbers that stay in memory between networks: 64 Mi float32 numbers

OWN_LAYERS_SEED = 1 << 61  # added to the seed for layers whose constructors draw their weights

Init = Literal["uniform", "normal", "kaiming"]  # distributions that weights are drawn from

# Module classes whose weights are slices of a stream.
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
WEIGHTED = (*CONVOLUTIONS, nn.Linear)


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
    """Return a new module of the network, in training mode, with the initial weights of a seed.

    With "uniform" the weights have PyTorch's default distribution. Weights and biases of convolutions and linear layers
    are from U(-1/sqrt(n), 1/sqrt(n)), where n is the number of inputs of one output. Batch norms have scale 1, shift 0
    and fresh running statistics. The weights are consecutive slices of one random stream, scaled layer by layer, and
    all candidates share the stream (common random numbers). The numbers equal those that torch's constructors draw
    after `torch.manual_seed(seed)`, but torch's global generator is not used and the stream is drawn once. Modules are
    copies of templates.

    With "normal" the weights are from N(0, 1), with "kaiming" from N(0, 2 / n). With both, biases are 0.

    A layer of another kind, such as a recurrent one or a plug-in's, gets the weights that its constructor draws.
    Torch's global generator is seeded before and restored afterwards. With "normal" and "kaiming", the weights that it
    multiplies with activations are drawn again from a generator of the seed.

    Args:
        network: The network to run.
        seed: Seed of the random stream.
        init: Distribution of the weights of convolutions and linear layers.
    """
    templates = [_template(node.layer, node.in_shapes) for node in network.nodes]
    parts = _instantiate(templates, seed)
    number = sum(span.emission.params for span in network.spans)  # also of layers that share parameters with others
    numbers, start = _streams.first(seed, init != "uniform", number), 0
    for part, template in zip(parts, templates, strict=True):
        if isinstance(template, Call):
            continue
        if isinstance(part, WEIGHTED):
            start = _fill(part, numbers, start, init)
        elif isinstance(part, nn.BatchNorm2d):
            _reset(part)
    if init != "uniform":
        generator = torch.Generator().manual_seed(seed + OWN_LAYERS_SEED)
        for node, part, template in zip(network.nodes, parts, templates, strict=True):
            if isinstance(template, Call):
                _redraw(node, part, generator, init)
    return Executable(network.nodes, network.output, parts)


@lru_cache(maxsize=1 << 14)
def _template(layer: Layer, in_shapes: tuple[Shape, ...]) -> nn.Module | Call:
    """Return a module on the meta device to copy, or the call if only the constructor can make the weights."""
    call = layer.module(*in_shapes)
    if not isinstance(call.factory, str):
        return call
    with torch.device("meta"):
        part = construct(call)
    known = type(part) in (*WEIGHTED, nn.BatchNorm2d) or not part.state_dict()
    return part if known else call


def _instantiate(templates: Sequence[nn.Module | Call], seed: int) -> list[nn.Module]:
    """Return a new module for each template."""
    own = any(isinstance(template, Call) for template in templates)
    with torch.random.fork_rng(devices=[], enabled=own):
        if own:
            torch.default_generator.manual_seed(seed)
        return [
            _construct_without_inplace(template) if isinstance(template, Call) else _copy_of(template)
            for template in templates
        ]


def _construct_without_inplace(call: Call) -> nn.Module:
    """Construct a module without in-place operations, which would overwrite tensors that a metric keeps."""
    module = construct(call)
    for part in module.modules():
        if getattr(part, "inplace", False):
            part.inplace = False  # type: ignore[assignment]
    return module


def _copy_of(template: nn.Module) -> nn.Module:
    """Return a copy of a template that shares only its tensors with the template."""
    part = copy(template)
    for name, value in part.__dict__.items():  # parameters, buffers and hooks
        if isinstance(value, dict):
            part.__dict__[name] = value.copy()
    return part


def _fill(part: nn.Module, numbers: Tensor, start: int, init: Init) -> int:
    """Set weight and bias of a module from `numbers[start:]`, and return the start for the next module."""
    weight = part._parameters["weight"]
    assert weight is not None
    # PyTorch's own distribution takes the second dimension of transposed convolutions, too, which is that of outputs.
    scale = {"uniform": 1 / sqrt(weight[0].numel()), "normal": 1.0, "kaiming": sqrt(2 / _fan_in(part, weight))}[init]
    for name, parameter in part._parameters.items():
        if parameter is not None:
            stop = start + parameter.numel()
            factor = scale if name == "weight" or init == "uniform" else 0.0
            part._parameters[name] = nn.Parameter((numbers[start:stop] * factor).view(parameter.shape))
            start = stop
    return start


def _fan_in(part: nn.Module, weight: Tensor) -> int:
    """Return the number of weights of one output of a layer."""
    return weight.numel() // (part.out_channels if isinstance(part, CONVOLUTIONS) else weight.shape[0])


def _redraw(node: Node, part: nn.Module, generator: torch.Generator, init: Init) -> None:
    """Draw the weights of a layer of another kind from N(0, 1) or N(0, 2 / n), and set its biases to 0."""
    for path, owner in part.named_modules():
        own = {name.rpartition(".")[2] for name in node_facts(node).weights if name.rpartition(".")[0] == path}
        weights = {*weight_names(owner), *own}
        for name, parameter in owner.named_parameters(recurse=False):
            if name in weights:
                deviation = 1.0 if init == "normal" else sqrt(2 / _fan_in(owner, parameter))
                parameter.data.normal_(0.0, deviation, generator=generator)
            elif weights and "bias" in name:
                parameter.data.zero_()


def _reset(part: nn.BatchNorm2d) -> None:
    """Give a batch norm its initial parameters and buffers."""
    for name, parameter in part._parameters.items():
        part._parameters[name] = None if parameter is None else nn.Parameter(_initial(name, parameter))
    for name, buffer in part._buffers.items():
        part._buffers[name] = None if buffer is None else _initial(name, buffer)


def _initial(name: str, like: Tensor) -> Tensor:
    """Return the initial tensor of a batch norm under a name: 1 for scale and variance, 0 for all others."""
    return torch.full(like.shape, name in ("weight", "running_var"), dtype=like.dtype)

"""A network to be timed: its module, its ONNX file, and random inputs for both."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from nasctl.api import NasctlError, Network
from nasctl.hardware.masked_layers import has_masked_layers
from nasctl.hardware.precision import Precision
from nasctl.hardware.quantized_blocks import has_quantized_layers
from nasctl.networks.onnx import to_onnx
from nasctl.networks.onnx_int8 import quantised_onnx
from nasctl.system.files import write

SEED = 0  # of weights and inputs


@runtime_checkable
class HasVocabulary(Protocol):
    """A layer that reads tokens, which are integers from 0 to below its vocabulary."""

    @property
    def vocabulary(self) -> int:
        """Return the number of different tokens."""
        ...


@dataclass(frozen=True)
class TimedNetwork:
    """A network to be timed, in evaluation mode, with random weights and inputs.

    Attributes:
        network: A whole network, or a single block.
        batch: Examples per batch.
        precision: Precision of weights and activations.
        block: Whether the network is a block of others, so that it takes and returns integers in int8.
        file: ONNX file, which is read if it exists and written otherwise; None to keep no file.
    """

    network: Network
    batch: int = 1
    precision: Precision = "float32"
    block: bool = False
    file: Path | None = None

    @cached_property
    def instance(self) -> tuple[nn.Module, list[Tensor]]:
        """The module and its inputs, as `instantiate` returns them."""
        return instantiate(self.network, self.batch, SEED)

    @cached_property
    def onnx_content(self) -> bytes:
        """The ONNX file: in float32, or quantised as `nasctl export --int8` does it, with ranges from random inputs."""
        if self.file is not None and self.file.exists():
            return self.file.read_bytes()
        module, inputs = self.instance
        content = to_onnx(module, inputs)
        if self.precision == "int8":
            content = self._quantised(content, inputs)
        if self.file is not None:
            write(self.file, content)
        return content

    @cached_property
    def feed(self) -> dict[str, np.ndarray]:
        """Random inputs of the ONNX file by name, in its order: (B, ...) each, images of integers (B, H, W, C)."""
        import onnx

        graph = onnx.load_from_string(self.onnx_content).graph
        random = np.random.default_rng(SEED)
        feed = {}
        for value, floats in zip(graph.input, random_inputs(self.network, self.batch, SEED), strict=True):
            integers = value.type.tensor_type.elem_type == onnx.TensorProto.UINT8
            shape = [size.dim_value for size in value.type.tensor_type.shape.dim]
            feed[value.name] = random.integers(256, size=shape, dtype=np.uint8) if integers else floats.numpy()
        return feed

    def _quantised(self, content: bytes, inputs: list[Tensor]) -> bytes:
        """Return an ONNX file in int8.

        Raises:
            NasctlError: ONNX Runtime's quantiser refuses it.
        """
        batch = {f"input{k}": one.numpy() for k, one in enumerate(inputs)}
        try:
            return quantised_onnx(content, [batch], self.block)
        except Exception as error:  # the quantiser has no kind of its own
            reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
            key = self.network.spans[0].emission.key if self.network.spans else "a network without layers"
            raise NasctlError(
                f"Cannot measure {key} in int8: ONNX Runtime's quantiser refuses it ({reason}). Measure another"
                " precision."
            ) from error


def instantiate(network: Network, batch: int, seed: int) -> tuple[nn.Module, list[Tensor]]:
    """Return a module of the network in evaluation mode, with random weights, and random inputs, each (B, ...).

    Raises:
        NasctlError: Layers of the network are quantised, or have zeros among their weights.
    """
    if has_masked_layers(network):
        raise NasctlError(
            "Cannot time layers with pruned weights: runtimes multiply with zeros too. Profile the space of the given"
            " network, whose latencies they get."
        )
    if has_quantized_layers(network):
        raise NasctlError(
            "Cannot time quantised layers: their modules round in float32, and take longer than integers would. Profile"
            " the space of the given network, whose latencies they get."
        )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return network.module().eval(), _inputs(network, batch)


def random_inputs(network: Network, batch: int, seed: int) -> list[Tensor]:
    """Return random inputs of a network, each (B, ...): tokens, or values from N(0, 1)."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return _inputs(network, batch)


def _inputs(network: Network, batch: int) -> list[Tensor]:
    return [_input(network, k, batch) for k in range(len(network.input_shapes))]


def _input(network: Network, index: int, batch: int) -> Tensor:
    """Return tokens, (B, T), if a layer that has a vocabulary reads the input; else values from N(0, 1)."""
    shape = (batch, *network.input_shapes[index])
    readers = [node.layer for node in network.nodes if -1 - index in node.inputs]
    vocabulary = max((layer.vocabulary for layer in readers if isinstance(layer, HasVocabulary)), default=0)
    return torch.randint(vocabulary, shape) if vocabulary else torch.randn(shape)


__all__ = ["HasVocabulary", "TimedNetwork", "instantiate", "random_inputs"]

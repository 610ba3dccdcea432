"""Execution of a network by a runtime: torch itself, or ONNX Runtime on the file that one would deploy."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from nasctl.api import NasctlError, Network
from nasctl.hardware.masked_layers import has_masked_layers
from nasctl.hardware.quantized_blocks import has_quantized_layers
from nasctl.networks.onnx import to_onnx
from nasctl.system.files import write

Runtime = Literal["torch", "onnxruntime"]

Precision = Literal["float32", "float16", "bfloat16"]
DTYPES: dict[Precision, torch.dtype] = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}

NetworkCall = Callable[[], object]


@runtime_checkable
class HasVocabulary(Protocol):
    """A layer that reads tokens, which are integers from 0 to below its vocabulary."""

    @property
    def vocabulary(self) -> int:
        """Return the number of different tokens."""
        ...


def network_call(
    network: Network,
    runtime: Runtime,
    torch_device: str,
    threads: int,
    batch: int,
    precision: Precision = "float32",
    file: Path | None = None,
) -> NetworkCall:
    """Return a function that runs the network once, in evaluation mode, with random weights and input.

    Args:
        network: A whole network, or a single block.
        runtime: Runtime to use; "onnxruntime" runs on the CPU only.
        torch_device: Device of torch.
        threads: Threads of ONNX Runtime; the caller sets those of torch.
        batch: Examples per batch.
        precision: Precision of weights and activations with torch; ONNX Runtime computes in float32.
        file: ONNX file, which is read if it exists and written otherwise; None to keep no file.
    """
    module, inputs = instantiate(network, batch, seed=0)
    if runtime == "torch":
        dtype = DTYPES[precision]
        module = module.to(torch_device, dtype)
        inputs = [one.to(torch_device, dtype if one.is_floating_point() else None) for one in inputs]
        return lambda: module(*inputs)
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    content = file.read_bytes() if file is not None and file.exists() else to_onnx(module, inputs)
    if file is not None and not file.exists():
        write(file, content)
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    feed = {one.name: given.numpy() for one, given in zip(session.get_inputs(), inputs, strict=True)}
    return lambda: session.run(None, feed)


def runtime_version(runtime: Runtime) -> str:
    """Return the name of a runtime with its version, such as "torch 2.13.0"."""
    return f"{runtime} {version(runtime)}"


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
        return network.module().eval(), [_input(network, k, batch) for k in range(len(network.input_shapes))]


def _input(network: Network, index: int, batch: int) -> Tensor:
    """Return tokens, (B, T), if a layer that has a vocabulary reads the input; else values from N(0, 1)."""
    shape = (batch, *network.input_shapes[index])
    readers = [node.layer for node in network.nodes if -1 - index in node.inputs]
    vocabulary = max((layer.vocabulary for layer in readers if isinstance(layer, HasVocabulary)), default=0)
    return torch.randint(vocabulary, shape) if vocabulary else torch.randn(shape)

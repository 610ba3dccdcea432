"""What runs a network while it is timed: torch itself, or ONNX Runtime on the file that one would deploy."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from nasctl.api import Network
from nasctl.networks.onnx import to_onnx
from nasctl.system.files import write

Runtime = Literal["torch", "onnxruntime"]

Precision = Literal["float32", "float16", "bfloat16"]

NetworkCall = Callable[[], object]


def network_call(
    network: Network,
    runtime: Runtime,
    torch_device: str,
    threads: int,
    batch: int,
    precision: Precision = "float32",
    file: Path | None = None,
) -> NetworkCall:
    """A function that runs the network once, in evaluation mode, on random input with random weights.

    Args:
        network: A whole one, or a single block.
        runtime: Of which "onnxruntime" runs on the CPU alone.
        torch_device: Where torch runs it.
        threads: That ONNX Runtime takes; torch's are set around the call.
        batch: Examples at a time.
        precision: Of weights and activations, which torch may lower.
        file: Where the ONNX file is kept for the next time, or is found.
    """
    module, inputs = instantiate(network, batch, seed=0)
    if runtime == "torch":
        kind = getattr(torch, precision)
        module = module.to(torch_device, kind)
        inputs = [one.to(torch_device, kind if one.is_floating_point() else None) for one in inputs]
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
    """With its version: "torch 2.13.0"."""
    return f"{runtime} {version(runtime)}"


def instantiate(network: Network, batch: int, seed: int) -> tuple[nn.Module, list[Tensor]]:
    """A module of the network in evaluation mode, and inputs for it, (B, ...) each."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return network.module().eval(), [_input(network, k, batch) for k in range(len(network.input_shapes))]


def _input(network: Network, place: int, batch: int) -> Tensor:
    """Tokens, (B, T), where a layer that has a vocabulary reads the input of this place; else values from N(0, 1)."""
    shape = (batch, *network.input_shapes[place])
    readers = [node.layer for node in network.nodes if -1 - place in node.inputs]
    vocabulary = max((getattr(layer, "vocabulary", 0) for layer in readers), default=0)
    return torch.randint(vocabulary, shape) if vocabulary else torch.randn(shape)

"""The call of a network by a runtime."""

from __future__ import annotations

from pathlib import Path

from nasctl.api import Network
from nasctl.hardware.precision import Precision
from nasctl.hardware.profiling.timed_network import TimedNetwork
from nasctl.hardware.runtimes import NetworkCall, load_runtime


def network_call(
    network: Network,
    runtime: str,
    torch_device: str,
    threads: int,
    batch: int,
    precision: Precision = "float32",
    file: Path | None = None,
    block: bool = False,
) -> NetworkCall:
    """Return a function that runs the network once, in evaluation mode, with random weights and input.

    Args:
        network: A whole network, or a single block.
        runtime: Name of the runtime.
        torch_device: Device of torch; "cpu" for all other runtimes.
        threads: Threads of the runtime; the caller sets those of torch.
        batch: Examples per batch.
        precision: Precision of weights and activations, which the runtime computes in.
        file: ONNX file, which is read if it exists and written otherwise; None to keep no file.
        block: Whether the network is a block of others, between layers of the same precision.

    Raises:
        NasctlError: The runtime is not installed, or the network cannot be timed.
    """
    return load_runtime(runtime).call(TimedNetwork(network, batch, precision, block, file), torch_device, threads)


__all__ = ["network_call"]

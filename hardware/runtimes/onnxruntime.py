"""ONNX Runtime on the CPU, with the file that one would deploy."""

from __future__ import annotations

from nasctl.hardware.precision import Precision
from nasctl.hardware.profiling.timed_network import TimedNetwork
from nasctl.hardware.runtimes import NetworkCall

__all__ = ["ONNXRuntime"]


class ONNXRuntime:
    """ONNX Runtime's CPU provider, in float32, or in int8 with the files of its own static quantiser."""

    title = "ONNX Runtime"
    precisions: tuple[Precision, ...] = ("float32", "int8")
    cuda = False

    def call(self, timed: TimedNetwork, torch_device: str, threads: int) -> NetworkCall:
        import onnxruntime  # type: ignore[import-untyped]

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        content = timed.onnx_content
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        feed = timed.feed
        return lambda: session.run(None, feed)

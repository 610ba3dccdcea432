"""OpenVINO's CPU plug-in, with the ONNX file that one would deploy."""

from __future__ import annotations

from nasctl.hardware.precision import Precision
from nasctl.hardware.profiling.timed_network import TimedNetwork
from nasctl.hardware.runtimes import NetworkCall

__all__ = ["OpenVINORuntime"]


class OpenVINORuntime:
    """OpenVINO's CPU plug-in, in float32, or in int8 with the files of ONNX Runtime's static quantiser."""

    title = "OpenVINO"
    precisions: tuple[Precision, ...] = ("float32", "int8")
    cuda = False

    def call(self, timed: TimedNetwork, torch_device: str, threads: int) -> NetworkCall:
        import openvino

        options = {
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "f32",  # processors that have bfloat16 compute in it otherwise
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            # A thread that is pinned to one processor waits there for other processes, even if others are idle.
            "ENABLE_CPU_PINNING": False,
        }
        core = openvino.Core()
        model = core.read_model(timed.onnx_content)
        if model.is_dynamic():  # a file for any batch size would be slower
            model.reshape({name: list(array.shape) for name, array in timed.feed.items()})
        request = core.compile_model(model, "CPU", options).create_infer_request()
        for port, array in zip(request.model_inputs, timed.feed.values(), strict=True):
            request.set_tensor(port, openvino.Tensor(array))
        call: NetworkCall = request.infer
        return call

"""Weights of ONNX files that share a few files of random numbers, because only the time of a kit's files counts."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from nasctl.system.files import write

MIN_BYTES = 4096  # bytes of a tensor from which on its values are shared
EXPONENTS = (-12, 2)  # least and largest power of two of a standard deviation that has a file of its own
ZEROS = "weights-zero.bin"  # file of zeros, such as the biases of folded batch norms
SEED = 0  # of the random numbers


def share_weights(content: bytes, folder: Path, remedy: str) -> bytes:
    """Return an ONNX file whose large tensors are the beginning of a file of random numbers beside it.

    A tensor of float32 gets normal numbers of a standard deviation near its own, so that activations neither vanish nor
    overflow, which would change the time. There is one file for each power of two, as long as the largest tensor that
    reads it. The ONNX format calls this external data; several tensors may read the same bytes.

    Args:
        content: The ONNX file with its tensors.
        folder: Folder of the files; existing ones are made longer if need be.
        remedy: What to do if a file cannot be written.

    Raises:
        NasctlError: A file cannot be written.
    """
    import onnx

    model = onnx.ModelProto.FromString(content)
    for tensor in model.graph.initializer:
        size = len(tensor.raw_data)
        if tensor.data_type != onnx.TensorProto.FLOAT or size < MIN_BYTES:
            continue
        values = np.frombuffer(tensor.raw_data, np.float32)
        deviation = float(values.std())
        if not deviation and values.any():  # a constant, such as the divisor of a mean
            continue
        name = _lengthened(folder, deviation, size, remedy)
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", name), ("offset", "0"), ("length", str(size))):
            tensor.external_data.add(key=key, value=value)
    shared: bytes = model.SerializeToString()
    return shared


def _lengthened(folder: Path, deviation: float, size: int, remedy: str) -> str:
    """Return the name of the file for a standard deviation, which has at least so many bytes afterwards."""
    least, most = EXPONENTS
    exponent = min(max(round(math.log2(deviation)), least), most) if deviation else 0
    name = f"weights-{exponent}.bin".replace("--", "-minus-") if deviation else ZEROS
    path = folder / name
    if not path.is_file() or path.stat().st_size < size:
        number = -(-size // 4)
        # The numbers of a longer file begin with those of a shorter one.
        random = np.random.default_rng([SEED, exponent - least]).standard_normal(number, dtype=np.float32)
        values = random * np.float32(2.0**exponent) if deviation else np.zeros(number, np.float32)
        write(path, values.astype("<f4").tobytes(), remedy)
    return name

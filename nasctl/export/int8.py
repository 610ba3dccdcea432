"""Static int8 quantisation of an exported ONNX file, and its comparison with the float32 file."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from nasctl.errors import NasctlError
from nasctl.export.accuracy import BATCH, ExportedAccuracy, as_input, validation_batches
from nasctl.export.model import Model
from nasctl.export.onnx_file import load_onnx, onnx_session
from nasctl.hardware.profiling.timing import time_in_turn
from nasctl.training.labelled import TrainingData

INT8 = "int8"  # name of the int8 file among the formats

INT8_SUFFIX = ".int8.onnx"

CALIBRATION_IMAGES = 256  # images of the train part from which the ranges of activations are taken

TIMED_SECONDS = 2.0  # time for all runs of both files together


@dataclass(frozen=True)
class QuantisedFile:
    """An int8 ONNX file beside the float32 file that it was made from.

    Attributes:
        float32: Right answers of the float32 file on the validation images; `expected` are those of the module.
        int8: Right answers of the int8 file; `expected` are those of the float32 file.
        lost: Images that the float32 file alone classifies rightly.
        gained: Images that the int8 file alone classifies rightly.
        ms: Median latency of the float32 and of the int8 file for one image on one thread, in ms.
        size: Size of the float32 and of the int8 file, in bytes.
        calibration: Number of images from which the ranges of activations were taken.
    """

    float32: ExportedAccuracy
    int8: ExportedAccuracy
    lost: int
    gained: int
    ms: tuple[float, float]
    size: tuple[int, int]
    calibration: int

    @property
    def accuracy_lost(self) -> float:
        """Accuracy of the float32 file minus that of the int8 file."""
        return (self.lost - self.gained) / self.int8.total

    @property
    def accuracy_lost_error(self) -> float:
        """Standard error of `accuracy_lost`, from the images on which the two files differ (McNemar's variance)."""
        total = self.int8.total
        return sqrt(self.lost + self.gained - (self.lost - self.gained) ** 2 / total) / total

    def sentences(self) -> Iterator[str]:
        """Yield what was lost and gained."""
        yield (
            f"int8: accuracy {self.int8.accuracy:.4f} ± {self.int8.error:.4f}, float32 {self.float32.accuracy:.4f} ± "
            f"{self.float32.error:.4f}, on {self.int8.total:,} validation images; lost "
            f"{self.accuracy_lost:.4f} ± {self.accuracy_lost_error:.4f}"
        )
        float_ms, ms = self.ms
        how = f"{float_ms / ms:.2f} times as fast" if ms <= float_ms else f"SLOWER, by a factor of {ms / float_ms:.2f}"
        yield (
            f"int8: {ms:.3g} ms for one image, float32 {float_ms:.3g} ms, on one thread of this machine (median of "
            f"alternating runs): {how}"
        )
        yield (
            f"int8: {self.size[1]:,} bytes, float32 {self.size[0]:,} bytes; ranges of activations from "
            f"{self.calibration} training images"
        )


def quantise(model: Model, data: TrainingData, source: Path, target: Path) -> QuantisedFile:
    """Quantise an ONNX file to int8, and compare the two files.

    Weights are signed, with a scale for each output channel, or for each tensor in networks with matrix products, where
    ONNX Runtime's kernel takes no other. Activations are unsigned, with a scale and a zero point
    for each tensor, from the least and greatest values on images of the train part. Quantised layers are surrounded
    by QuantizeLinear and DequantizeLinear (QDQ).

    Args:
        model: The model, which classifies images.
        data: The data of its training.
        source: The float32 file.
        target: The int8 file to write.

    Raises:
        NasctlError: There are no validation images.

    References:
        Jacob et al., "Quantization and training of neural networks", CVPR 2018, arXiv:1712.05877.
    """
    import onnx
    from onnxruntime.quantization import (  # type: ignore[import-untyped]
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process  # type: ignore[import-untyped]

    if not data.size("validation"):
        raise NasctlError("Cannot compare the int8 file: the data has no validation images. Give data that has some.")
    images = list(_calibration_images(data))
    with TemporaryDirectory() as folder, _quiet():
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(source, prepared)
        quantize_static(
            prepared,
            target,
            _CalibrationImages(images),
            quant_format=QuantFormat.QDQ,
            per_channel=not any(node.op_type == "MatMul" for node in onnx.load(prepared).graph.node),
            activation_type=QuantType.QUInt8,  # x86 runs signed activations up to 20 times as slowly
            weight_type=QuantType.QInt8,
        )
        quantised = onnx.load(target)
        quantised.metadata_props.clear()  # the quantiser keeps notes for itself in them
        quantised.metadata_props.extend(onnx.load(source).metadata_props)
        target.write_bytes(quantised.SerializeToString())
    float32, int8, lost, gained = _compared(model, data, source, target)
    ms = _latencies(source, target, images[0][:1])
    sizes = (source.stat().st_size, target.stat().st_size)
    return QuantisedFile(float32, int8, lost, gained, ms, sizes, sum(map(len, images)))


def _calibration_images(data: TrainingData) -> Iterator[np.ndarray]:
    """Yield batches of images that are spread evenly over the train part, (B, C, H, W) float32 each."""
    number = min(CALIBRATION_IMAGES, data.size("train"))
    chosen = np.linspace(0, data.size("train") - 1, number).astype(np.int64)
    for start in range(0, number, BATCH):
        images, _ = data.examples("train", chosen[start : start + BATCH])
        yield as_input(torch.from_numpy(images)).numpy()


class _CalibrationImages:
    """Batches for ONNX Runtime's calibration, which calls `get_next` until it returns None.

    Args:
        images: Batches of images, (B, C, H, W) float32 each.
    """

    def __init__(self, images: list[np.ndarray]) -> None:
        self._images = iter(images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the inputs of the next batch by name."""
        return next(({"input": batch} for batch in self._images), None)


def _compared(
    model: Model, data: TrainingData, source: Path, target: Path
) -> tuple[ExportedAccuracy, ExportedAccuracy, int, int]:
    """Return the accuracies of the float32 and the int8 file, and the images that only one of them has right."""
    runs = load_onnx(model, source), load_onnx(model, target)
    counts = np.zeros(5, np.int64)
    total = 0
    for examples, labels in validation_batches(data):
        answers = [run(examples).argmax(-1) for run in runs]
        right: list[Tensor] = [one == labels for one in answers]
        total += len(labels)
        changed = int((answers[0] != answers[1]).sum())
        lost, gained = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
        counts += [int(right[0].sum()), int(right[1].sum()), changed, lost, gained]
    in_float32, in_int8, changed, lost, gained = counts.tolist()
    float32 = ExportedAccuracy(in_float32, in_float32, 0, total)
    return float32, ExportedAccuracy(in_int8, in_float32, changed, total), lost, gained


def _latencies(source: Path, target: Path, image: np.ndarray) -> tuple[float, float]:
    """Return the median latency of each file for one image in ms; runs of the two alternate."""
    sessions = [onnx_session(path) for path in (source, target)]
    calls = [lambda session=session: session.run(None, {"input": image}) for session in sessions]
    first, second = time_in_turn(calls, 1, TIMED_SECONDS)
    return first, second


@contextmanager
def _quiet() -> Iterator[None]:
    """Drop what ONNX Runtime's quantiser logs, which is advice for its programmers."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)

"""Static int8 quantisation of an exported ONNX file, and its comparison with the float32 file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

import numpy as np
from torch import Tensor

from nasctl.compression.labelled_data import calibration_pixels
from nasctl.errors import NasctlError
from nasctl.export.accuracy import BATCH, ExportedAccuracy, as_input, validation_examples
from nasctl.export.model import Model
from nasctl.export.onnx_file import load_onnx, onnx_session
from nasctl.hardware.profiling.timing import time_in_turn
from nasctl.networks.onnx_int8 import quantised_onnx
from nasctl.system.wording import share_text
from nasctl.training.labelled import TrainingData

INT8 = "int8"  # name of the int8 file among the formats

INT8_SUFFIX = ".int8.onnx"

TIMED_SECONDS = 2.0  # time for all runs of both files together

ROUNDS = 6  # of each file; the median counts


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
        ours, theirs = (share_text(one.accuracy, one.error, percent=False) for one in (self.int8, self.float32))
        yield (
            f"int8: accuracy {ours}, float32 {theirs}, on {self.int8.total:,} validation images; lost"
            f" {self.accuracy_lost:.4f} ± {self.accuracy_lost_error:.4f}"
        )
        float_ms, ms = self.ms
        how = f"{float_ms / ms:.2f} times as fast" if ms <= float_ms else f"SLOWER, by a factor of {ms / float_ms:.2f}"
        yield (
            f"int8: {ms:.3g} ms for one image, float32 {float_ms:.3g} ms, on one thread of this machine (median of "
            f"alternating rounds): {how}"
        )
        yield (
            f"int8: {self.size[1]:,} bytes, float32 {self.size[0]:,} bytes; ranges of activations from "
            f"{self.calibration} training images"
        )


def quantise(model: Model, data: TrainingData, source: Path, target: Path) -> QuantisedFile:
    """Quantise an ONNX file to int8, and compare the two files.

    The ranges of activations come from images of the train part; see `quantised_onnx`.

    Args:
        model: The model, which classifies images.
        data: The data of its training.
        source: The float32 file.
        target: The int8 file to write.

    Raises:
        NasctlError: There are no validation images.
    """
    if not data.size("validation"):
        raise NasctlError("Cannot compare the int8 file: the data has no validation images. Give data that has some.")
    pixels = as_input(calibration_pixels(data)).numpy()
    images = [pixels[start : start + BATCH] for start in range(0, len(pixels), BATCH)]
    target.write_bytes(quantised_onnx(source.read_bytes(), ({"input": batch} for batch in images)))
    float32, int8, lost, gained = _compared(model, data, source, target)
    ms = _latencies(source, target, images[0][:1])
    sizes = (source.stat().st_size, target.stat().st_size)
    return QuantisedFile(float32, int8, lost, gained, ms, sizes, sum(map(len, images)))


def _compared(
    model: Model, data: TrainingData, source: Path, target: Path
) -> tuple[ExportedAccuracy, ExportedAccuracy, int, int]:
    """Return the accuracies of the float32 and the int8 file, and the images that only one of them has right."""
    runs = load_onnx(model, source), load_onnx(model, target)
    counts = np.zeros(5, np.int64)
    total = 0
    for examples, labels in validation_examples(data):
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
    """Return the median latency of each file for one image in ms.

    Rounds of the two alternate, so that both have the same noise. Alternate runs would find the other's weights in the
    caches.
    """
    sessions = [onnx_session(path) for path in (source, target)]
    calls = [lambda session=session: session.run(None, {"input": image}) for session in sessions]
    seconds = TIMED_SECONDS / ROUNDS / len(calls)
    rounds = [[time_in_turn([call], 1, seconds)[0] for call in calls] for _ in range(ROUNDS)]
    first, second = np.median(rounds, axis=0).tolist()
    return first, second

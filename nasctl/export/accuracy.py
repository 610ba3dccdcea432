"""The labelled examples of a training, and the accuracy of exported files on them beside that of the module."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nasctl.compression.labelled_data import IDENTITY, same_content
from nasctl.errors import NasctlError
from nasctl.export.difference import Difference, combined, example_differences
from nasctl.export.model import Model, Runner
from nasctl.training.batches import part_batches
from nasctl.training.evaluation import accuracy_error
from nasctl.training.labelled import TrainingData, training_data
from nasctl.training.trained_weights import Facts

BATCH = 64  # examples that are run at once


@dataclass(frozen=True)
class ExportedAccuracy:
    """Right answers of an exported file on labelled examples, beside those of the module.

    Attributes:
        right: Right answers of the file.
        expected: Right answers of the module.
        changed: Answers of the file that are not the module's: ties within rounding errors, or values that are
            rounded to another step.
        total: Number of answers: one for each image, or for each word.
    """

    right: int
    expected: int
    changed: int
    total: int

    @property
    def accuracy(self) -> float:
        """Fraction of right answers of the file."""
        return self.right / self.total

    @property
    def error(self) -> float:
        """Standard error of `accuracy`; see `nasctl.training.evaluation.accuracy_error`."""
        return accuracy_error(self.accuracy, self.total)


def data_of_training(model: Model, name: str) -> TrainingData:
    """Return the data of a model's training, split as it was split there.

    Args:
        model: A model with trained weights.
        name: Path or name of the data.

    Raises:
        NasctlError: The data cannot be read, or is not the data of the training.
    """
    facts = _facts(model)
    found = IDENTITY.fullmatch(facts.data)
    if found is None:
        raise NasctlError(
            f"Cannot read the split of the training {facts.training!r} from {facts.data!r}. Leave --data out."
        )
    split = found["split"].replace("-", ",")
    data = training_data(name, model.architecture.input, None, split, int(found["seed"] or 0), facts.task)
    if not same_content(facts.data, str(data)):
        raise NasctlError(
            f"Cannot compare on {name}: it is {data}, and {facts.training!r} was trained on {facts.data}. Give that "
            "data, or leave --data out to compare on random examples."
        )
    return data


def validation_examples(data: TrainingData) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the validation examples, pixels (B, C, H, W) float32 or words (B, T), and their labels, (B,) or (B, T)."""
    for examples, labels in part_batches(data, "validation", BATCH, None):
        yield as_input(examples), labels


def as_input(examples: Tensor) -> Tensor:
    """Return examples of a training as inputs of `Model.deployed`: pixels become float32."""
    return examples.float() if examples.dtype == torch.uint8 else examples


def compare_on_labels(
    model: Model, data: TrainingData, runners: Mapping[str, Runner]
) -> dict[str, tuple[Difference, ExportedAccuracy]]:
    """Run files and the module on the validation part, and return the difference and the accuracy of each file.

    Args:
        model: The model.
        data: The data of its training.
        runners: The loaded files by format.
    """
    gaps: dict[str, list[Tensor]] = {name: [] for name in runners}
    largest = list[float]()
    counts = {name: np.zeros(3, np.int64) for name in runners}
    total = 0
    with torch.no_grad():
        for examples, labels in validation_examples(data):
            outputs: Tensor = model.deployed(examples)
            answers = outputs.argmax(-1)
            expected, total = int((answers == labels).sum()), total + labels.numel()
            largest.append(float(outputs.abs().max()))
            for name, run in runners.items():
                found = run(examples)
                gaps[name].append(example_differences(outputs, found))
                given = found.argmax(-1) if found.shape == outputs.shape else torch.full_like(answers, -1)
                counts[name] += [int((given == labels).sum()), expected, int((given != answers).sum())]
    accuracies = {}
    for name in runners:
        right, expected, changed = counts[name].tolist()
        accuracies[name] = (combined(gaps[name], largest), ExportedAccuracy(right, expected, changed, total))
    return accuracies


def _facts(model: Model) -> Facts:
    assert model.trained is not None
    return model.trained

"""The evaluation of networks of a trained supernet on the validation examples in its file."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from nasctl.data import Part
from nasctl.errors import NasctlError
from nasctl.problem.space import Genome
from nasctl.supernets.trained_supernet import TrainedSupernet
from nasctl.training.evaluation import Result, evaluate
from nasctl.training.labelled import TrainingData, training_data
from nasctl.training.losses import Learning, MaskedWordLearning, NextWordLearning, Prepared
from nasctl.training.recipe import Recipe
from nasctl.training.streams import generator

KEPT = 1000  # validation examples that the file of a supernet holds at most

BATCH = 100  # examples that are evaluated at once

VALIDATION = 1  # part of the stream "calibration" that orders validation examples


def validation_examples(data: TrainingData, seed: int, most: int = KEPT) -> tuple[Tensor, Tensor] | None:
    """Return the first validation examples in a random order of a seed, and their labels; None if there are none.

    Args:
        data: The data that a supernet is trained on.
        seed: The seed of its training.
        most: Number of examples; all are taken if there are fewer.
    """
    return part_examples(data, "validation", seed, most)


def part_examples(data: TrainingData, part: Part, seed: int, most: int) -> tuple[Tensor, Tensor] | None:
    """Return the first examples of a part in a random order of a seed, and their labels; None if there are none."""
    order = generator(seed, "calibration", part=VALIDATION).permutation(data.size(part))[:most]
    if not len(order):
        return None
    examples, labels = data.examples(part, np.asarray(order))
    return torch.from_numpy(examples), torch.from_numpy(labels)


def evaluate_subnet(
    supernet: TrainedSupernet,
    genome: Genome,
    batches: Iterable[tuple[Tensor, Tensor]],
    device: torch.device | str = "cpu",
) -> Result:
    """Return the result of a network with the shared weights of its genome and calibrated statistics.

    Args:
        supernet: The supernet.
        genome: A canonical genome.
        batches: Examples as the data give them, and their labels; see `stored_batches`.
        device: The device that the network runs on.

    Raises:
        DoesNotFit: The supernet has no place for the weights.
        UntrainedWeights: No step has trained some of the weights.
    """
    module = supernet.module(genome, device)
    return evaluate(module, learning_of(supernet, genome), batches, device)


def stored_batches(supernet: TrainedSupernet, images: int) -> list[tuple[Tensor, Tensor]]:
    """Return the first validation examples of a supernet's file in batches, with their labels.

    Args:
        supernet: The supernet.
        images: Number of examples; all are taken if there are fewer.

    Raises:
        NasctlError: The file has no validation examples.
    """
    if supernet.validation is None:
        raise NasctlError(
            f"Cannot evaluate networks of the supernet {supernet.name}: its file has no validation examples. Train it"
            " on data with a validation part, such as --split 0.8,0.1,0.1."
        )
    return _batches(*(one[:images] for one in supernet.validation))


def named_batches(
    supernet: TrainedSupernet, name: str, images: int, part: Part = "validation"
) -> list[tuple[Tensor, Tensor]]:
    """Return examples of a part of data that a user names, in batches, with their labels.

    The data is split as that of the supernet's training, so of the same data no training example is among them. The
    test part has neither trained the weights nor chosen a network.

    Args:
        supernet: The supernet.
        name: Path or name of the data.
        images: Number of examples; all are taken if there are fewer.
        part: The part of the data.

    Raises:
        NasctlError: There is no such data, or it has no such part or other classes than the supernet.
    """
    facts = supernet.facts
    split, _, seed = facts.data.rpartition(" split=")[2].partition(" seed=")
    given = supernet.space.input
    data = training_data(name, given, None, split.replace("-", ","), int(seed or 0), facts.task)
    if data.class_names != facts.class_names:
        own, other = (len(one or ()) for one in (facts.class_names, data.class_names))
        raise NasctlError(
            f"Cannot evaluate networks of the supernet {supernet.name} on {name}: it has {other} classes, and the"
            f" supernet learned {own}, or their names differ. Give data with the classes of {facts.data}."
        )
    found = part_examples(data, part, facts.seed, images)
    if found is None:
        raise NasctlError(f"Cannot evaluate on {name}: it has no {part} part. Give other data, or leave --data out.")
    return _batches(*found)


def _batches(examples: Tensor, labels: Tensor) -> list[tuple[Tensor, Tensor]]:
    return list(zip(torch.split(examples, BATCH), torch.split(labels, BATCH), strict=True))


class _Classes:
    """The evaluation of classifiers of images.

    Args:
        supernet: The supernet.
        genome: The genome, whose network may have a resolution of its own.
    """

    words = False
    chance = float("nan")

    def __init__(self, supernet: TrainedSupernet, genome: Genome) -> None:
        self._supernet, self._genome = supernet, genome

    def training(self, given: Tensor, labels: Tensor, step: int) -> Prepared:
        return self.evaluation(given, labels)

    def evaluation(self, given: Tensor, labels: Tensor) -> Prepared:
        return Prepared(self._supernet.inputs(self._genome, given), labels)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return torch.nn.functional.cross_entropy(outputs, targets)

    def weight(self, targets: Tensor) -> Tensor:
        return torch.tensor(float(len(targets)))


def learning_of(supernet: TrainedSupernet, genome: Genome) -> Learning:
    """Return the task that a supernet was trained for, as far as evaluations need it."""
    facts = supernet.facts
    if facts.task == "classes":
        return _Classes(supernet, genome)
    recipe, vocabulary = Recipe(**facts.recipe), supernet.space.input.vocabulary
    if facts.task == "next words":
        return NextWordLearning(recipe, vocabulary)
    return MaskedWordLearning(recipe, vocabulary, facts.seed)


__all__ = ["KEPT", "evaluate_subnet", "learning_of", "named_batches", "stored_batches", "validation_examples"]

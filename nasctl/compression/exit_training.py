"""Training of the exits of a network on the training images of its data, and files of what was learned."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from nasctl.candidates.determinism import deterministic_torch, seeded_globals
from nasctl.compression.trained_base import TrainedBase
from nasctl.errors import NasctlError
from nasctl.system.file_lock import Wait, locked
from nasctl.system.files import write
from nasctl.system.terminal import counted
from nasctl.training.augmentation import Augmentation
from nasctl.training.batches import steps_per_epoch, train_batches
from nasctl.training.image_data import ImageTrainingData
from nasctl.training.labelled import TrainingData
from nasctl.training.losses import ClassLearning
from nasctl.training.optimiser import optimiser, rates, set_rate
from nasctl.training.recipe import Recipe

VERSION = 1  # of the training; raise it and `QUANTIZER_VERSION` whenever the same options give other weights

CALIBRATED = 512  # training images of which norms take their statistics, at most


@dataclass(frozen=True)
class ExitTraining:
    """The choices of the training of exits.

    Args:
        epochs: Passes over the training images.
        seed: Seed of initial weights, of the order of the images, and of crops and flips.
        rate: Peak learning rate of AdamW.
    """

    epochs: int
    seed: int
    rate: float

    def recipe(self, data: TrainingData) -> Recipe:
        """Return the recipe: random crops, and flips unless the data says that they change classes."""
        flip = isinstance(data, ImageTrainingData) and data.mirrored_keeps_class
        return Recipe(
            epochs=self.epochs,
            optimiser="adamw",
            rate=self.rate,
            weight_decay=0.01,
            warmup=0.0,
            smoothing=0.0,
            flip=flip,
            cutout=0.0,
        )


Step = Callable[[Tensor, int], Sequence[Tensor]]  # normalised images and the number of the step to the exits' logits


def train(module: nn.Module, run: Step, base: TrainedBase, data: TrainingData, training: ExitTraining) -> None:
    """Train the parameters of a module that need gradients, so that the cross-entropies of all exits fall together.

    The same arguments give the same weights on one machine: one thread computes, and random numbers are functions of
    the seed and the step.

    Args:
        module: The module, in the modes that its layers are to have.
        run: Returns the logits of all exits for normalised images, (B, C, H, W); it may change with the step.
        base: The trained network, whose normalisation is used.
        data: The data, of whose training part is learned.
        training: The choices.
    """
    recipe = training.recipe(data)
    per_epoch = steps_per_epoch(data, recipe.batch)
    steps = recipe.epochs * per_epoch
    augmentation = Augmentation(recipe, base.mean, base.deviation, base.input.shape)
    learning = ClassLearning(recipe, augmentation, base.network.out_shape[0], seed=training.seed)
    made, table = optimiser(module, recipe), rates(recipe, steps, per_epoch)
    batches = islice(train_batches(data, recipe.batch, training.seed, 0, 0), steps)
    with deterministic_torch(1), seeded_globals(training.seed), torch.enable_grad():
        for step, (pixels, labels) in enumerate(counted(batches, steps, "training steps")):
            prepared = learning.training(pixels, labels, step)
            losses = [learning.loss(one, prepared.targets) for one in run(prepared.inputs[0], step)]
            made.zero_grad()
            torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
            clip_grad_norm_([one for one in module.parameters() if one.grad is not None], recipe.clip)
            set_rate(made, float(table[step]))
            made.step()


def training_images(base: TrainedBase, data: TrainingData, number: int = CALIBRATED) -> Iterator[Tensor]:
    """Yield normalised images of the training part without random changes, (B, C, H, W), `number` in all at most."""
    left = number
    for pixels, _ in train_batches(data, Recipe().batch, 0, 0, 0):
        yield base.normalised(pixels[:left])
        left -= len(pixels)
        if left <= 0 or number - left >= data.size("train"):
            return


def kept(folder: str, facts: object, make: Callable[[], Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return tensors from a file that is named after the facts that they follow from, and make the file if needed.

    Of several processes one makes the file, and the others wait for it. A folder that takes no file is no error: each
    process makes the tensors.

    Args:
        folder: The folder, which is made if needed.
        facts: The facts, whose text is the same in every process.
        make: Computes the tensors.
    """
    name = hashlib.sha256(f"{VERSION} {facts!r}".encode()).hexdigest()[:16]
    path = Path(folder) / f"{name}.safetensors"
    with ExitStack() as stack:
        with suppress(OSError, NasctlError):
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(path.with_suffix(".lock"), "", "", wait=Wait(math.inf)))
        with suppress(OSError, SafetensorError):
            return load_file(path)
        found = {key: value.detach().contiguous().clone() for key, value in make().items()}
        with suppress(OSError, NasctlError):
            write(path, save(found))
        return found


__all__ = ["ExitTraining", "Step", "kept", "train", "training_images"]

"""One training: its question, the name and the folder that follow from it, and the function that carries it out."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from nasctl import registry
from nasctl.store.store import Store
from nasctl.store.training_table import TrainingRecord, TrainingState
from nasctl.training.evaluation import Result
from nasctl.training.folder import TrainingFolder, check_name, trainings_folder
from nasctl.training.labelled import TrainingData
from nasctl.training.loop import Checkpointed, Diverged, Evaluated, Event, StepDone
from nasctl.training.recipe import Recipe, TrainingTask
from nasctl.training.rows import training_row
from nasctl.training.training_log import TrainingLog


@dataclass(frozen=True)
class Training:
    """The question of a training: everything that the trained weights depend on.

    Args:
        space: Spec of the search space as asked for, with every option.
        genome: The genome, in the space as asked for.
        trained_space: Spec of the space that is trained, with every option; it has the outputs that the data needs.
        task: The task.
        data: The identity of the data, with its split.
        recipe: The recipe.
        seed: Seed of weights, order and augmentation.
        threads: Threads of torch.
        torch_device: The torch device. Devices of one kind count as the same question.
        world: Processes that train together.
        start: Digest of the file whose weights the training begins with; "" for drawn weights.
        called: A name in place of the default one.

    Raises:
        NasctlError: No training can have the name `called`.
    """

    space: str
    genome: tuple[int, ...]
    trained_space: str
    task: TrainingTask
    data: str
    recipe: Recipe
    seed: int = 0
    threads: int = 1
    torch_device: str = "cpu"
    world: int = 1
    start: str = ""
    called: str = ""

    def __post_init__(self) -> None:
        if self.called:
            check_name(self.called)

    @property
    def spec(self) -> dict[str, Any]:
        """The question as JSON. Fields of the recipe that change no weights are not part of it."""
        recipe = {one.name: getattr(self.recipe, one.name) for one in fields(self.recipe) if one.metadata["bits"]}
        return {
            "space": self.space,
            "genome": list(self.genome),
            "trained_space": self.trained_space,
            "task": self.task,
            "data": self.data,
            "recipe": recipe,
            "seed": self.seed,
            "threads": self.threads,
            "device": self.torch_device.partition(":")[0],
            "world": self.world,
            "start": self.start,
        }

    @property
    def name(self) -> str:
        """The name of the training, such as "nbmacro-1c9f2a07".

        It ends in a digest of the question, so the same question resumes the training.
        """
        digest = hashlib.sha256(json.dumps(self.spec, sort_keys=True).encode()).hexdigest()
        return self.called or f"{self.space.partition(':')[0]}-{digest[:8]}"


@dataclass(frozen=True)
class Work:
    """How a training is carried out; no field changes its result.

    Args:
        workers: Processes that decode examples; None for the usual number.
        start: File of the weights that the training begins with; its digest is `Training.start`.
        log: A further file for the log.
        tensorboard: Whether event files for TensorBoard are written.
    """

    workers: int | None = None
    start: Path | None = None
    log: Path | None = None
    tensorboard: bool = False


@dataclass(frozen=True)
class Begun:
    """The event that a training begins or goes on.

    Attributes:
        step: Steps done before.
        steps: Steps of the whole training.
        notes: Sentences for a user.
    """

    step: int
    steps: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trained:
    """A finished training.

    Attributes:
        record: Its row in the store.
        store: Path of the store.
        results: Results by part, "validation" and "test".
        seconds: Time of all sessions together.
        sessions_steps: Steps of this session; 0 if the training had been finished before.
    """

    record: TrainingRecord
    store: str
    results: Mapping[str, Result]
    seconds: float
    session_steps: int

    @property
    def folder(self) -> TrainingFolder:
        """The folder of the training."""
        return TrainingFolder(trainings_folder(self.store) / self.record.name)

    def row(self) -> dict[str, Any]:
        """Return the training as JSON, as `training_row` does."""
        return training_row(self.record, self.store)

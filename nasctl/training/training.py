"""One training: its question, the name and the folder that follow from it, and the function that carries it out."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from nasctl import registry
from nasctl.errors import NasctlError
from nasctl.problem.space import SearchSpace
from nasctl.registry.version import __version__
from nasctl.store.store import Store
from nasctl.store.training_table import TrainingRecord
from nasctl.training import checkpoint, trained_weights
from nasctl.training.batches import steps_per_epoch
from nasctl.training.evaluation import Result
from nasctl.training.events import Event, LearningProblem, Outcome, Ranks, TrainingDiverged
from nasctl.training.folder import TrainingFolder, check_name, trainings_folder
from nasctl.training.labelled import TrainingData
from nasctl.training.loop import train
from nasctl.training.recipe import Recipe, TrainingTask
from nasctl.training.recording import Recording
from nasctl.training.rows import training_row
from nasctl.training.starting_weights import load_start
from nasctl.training.trainable import check_task, trainable


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
        return {
            "space": self.space,
            "genome": list(self.genome),
            "trained_space": self.trained_space,
            "task": self.task,
            "data": self.data,
            "recipe": self.recipe.question,
            "seed": self.seed,
            "threads": self.threads,
            "device": self.torch_device.partition(":")[0],
            "processes": self.world,
            "start": self.start,
        }

    @property
    def identity(self) -> str:
        """The digest of the question, under which checkpoints are filed."""
        return hashlib.sha256(json.dumps(self.spec, sort_keys=True).encode()).hexdigest()

    @property
    def name(self) -> str:
        """The name of the training, such as "nbmacro-1c9f2a07".

        It ends in a digest of the question, so the same question resumes the training.
        """
        return self.called or f"{registry.short_name(self.space)}-{self.identity[:8]}"


@dataclass(frozen=True)
class Work:
    """How a training is carried out; no field changes its result.

    Args:
        workers: Processes that decode examples; None for the usual number.
        start: File of the weights that the training begins with; its digest is `Training.start`.
        log: A further file for the log.
        tensorboard: Whether event files for TensorBoard are written.
        note: Called with sentences for a user, such as one on the weights of `start`.
    """

    workers: int | None = None
    start: Path | None = None
    log: Path | None = None
    tensorboard: bool = False
    note: Callable[[str], object] = lambda sentence: None


@dataclass(frozen=True)
class Trained:
    """A training that is finished, or has done the steps that were asked for.

    Attributes:
        record: Its row in the store.
        store: Path of the store.
        session_steps: Steps of this session; 0 if the training had been finished before.
    """

    record: TrainingRecord
    store: str
    session_steps: int

    @property
    def results(self) -> dict[str, Result]:
        """Results by part: "validation" and "test", or "validation" alone before the last step."""
        return {part: Result(**values) for part, values in self.record.parts.items()}

    @property
    def folder(self) -> TrainingFolder:
        """The folder of the training."""
        return TrainingFolder(trainings_folder(self.store) / self.record.name)

    def row(self) -> dict[str, Any]:
        """Return the training as JSON, as `training_row` does."""
        return training_row(self.record, self.store)


def run_training(
    training: Training,
    data: TrainingData,
    store: Store,
    work: Work | None = None,
    follow: Callable[[Event], object] = lambda event: None,
    *,
    ranks: Ranks | None = None,
    until: int | None = None,
) -> Trained:
    """Carry out a training from its newest checkpoint, and file its result; a finished training is only read.

    The training has a folder beside the store, with checkpoints, log and, after the last step, the weights. Of several
    ranks, the first one writes the folder and the store.

    Args:
        training: The training.
        data: Its data.
        store: The store.
        work: How it is carried out.
        follow: Called with each event.
        ranks: The place of this process among those that train together.
        until: Number of steps after which the training pauses, with an evaluation and a checkpoint; None for the end.

    Raises:
        NasctlError: Another process has the training, its name or folder belongs to another question, the network
            cannot be trained on the data, or a file cannot be written.
        TrainingDiverged: The training has diverged for the second time.
        KeyboardInterrupt: A signal asked to stop; a checkpoint is written before.
    """
    work, place = work or Work(), ranks or Ranks()
    assert (training.data, training.world) == (str(data), place.world)
    folder = TrainingFolder(trainings_folder(store.path) / training.name)
    problem = _problem(training, data, work)
    if place.rank:  # perhaps on another machine, without the folder and the store
        record = TrainingRecord(training.name, training.space, training.genome, training.spec)
        if place.shared(b""):
            return Trained(record, store.path, 0)
        return Trained(record, store.path, train(problem, folder.path, follow, ranks=place, until=until).step)
    _record(training, store)  # refuses the name of another training before anything is written
    with folder.held(training.spec):
        record = _record(training, store)
        finished = record.state == "finished" and _is_whole(folder.weights)
        place.shared(b"finished" if finished else b"")
        if finished:
            checkpoint.keep_newest(folder.path)  # a kill may have come between weights and deletion
            return Trained(record, store.path, 0)
        with _recording(training, data, store, record, folder, work, follow) as recording:
            try:
                outcome = train(problem, folder.path, recording.event, ranks=place, until=until)
            except TrainingDiverged:
                recording.file("diverged")
                raise
            except NasctlError:
                if not recording.opened:
                    folder.clear()  # the network cannot be trained, so there is nothing to resume
                raise
            record = _end(training, data, folder, recording, outcome)
            return Trained(record, store.path, recording.session_steps)


def _end(
    training: Training, data: TrainingData, folder: TrainingFolder, recording: Recording, outcome: Outcome
) -> TrainingRecord:
    """File the result of a training, and return its row; of a finished one write the weights, and tidy the folder."""
    if not outcome.finished:
        return recording.finish(outcome)
    trained_weights.write(folder.weights, outcome.state, _facts(training, data, outcome))
    record = recording.finish(outcome)
    checkpoint.keep_newest(folder.path)
    return record


def check_trainable(training: Training, data: TrainingData, start: Path | None = None) -> None:
    """Check that the network of a training can be trained on its data, before anything is written.

    Args:
        training: The training.
        data: Its data.
        start: File of the weights that it begins with, which must be of its network; None leaves them unread.

    Raises:
        NasctlError: The network cannot be trained on the data, or the weights are of another network.
    """
    problem = _problem(training, data, Work(start=start or Path()))
    classes = None if data.class_names is None else len(data.class_names)
    check_task(problem.network, problem.input, training.task, classes)
    if start is not None:
        module = trainable(problem.network, problem.input, training.task, classes, training.seed)
        load_start(module, start, training.start)


def planned_row(training: Training, store: Store) -> dict[str, Any]:
    """Return the row of a training that is not carried out, as `training_row` does.

    Args:
        training: The training.
        store: The store, which may know the training.

    Returns:
        The row of the store; without one, a row in the state "not begun".

    Raises:
        NasctlError: The name is that of another training.
    """
    record = _record(training, store)
    if not any(one.name == training.name for one in store.trainings()):
        record = replace(record, state="not begun", started=0.0)
    return training_row(record, store.path)


def _is_whole(weights: Path) -> bool:
    """Return whether a file of weights can be read. One that cannot is written anew from the last checkpoint."""
    try:
        trained_weights.read(weights)
    except NasctlError:
        return False
    return True


def _record(training: Training, store: Store) -> TrainingRecord:
    """Return the row of a training in the store, or a new one.

    Raises:
        NasctlError: The name is that of another training.
    """
    path = Path(store.path)
    folder = os.path.relpath(trainings_folder(path) / training.name, path.parent)
    new = TrainingRecord(
        training.name, training.space, training.genome, training.spec, started=time.time(), folder=folder
    )
    before = next((one for one in store.trainings() if one.name == training.name), new)
    keys = sorted(key for key in {*before.spec, *new.spec} if before.spec.get(key) != new.spec.get(key))
    if keys:
        raise NasctlError(
            f"training {training.name!r} of the store is of another {' and '.join(keys)}; give this one another name"
            " with --name"
        )
    return replace(before, folder=folder)


def _problem(training: Training, data: TrainingData, work: Work) -> LearningProblem:
    """Return the problem that the training loop solves."""
    space: SearchSpace = registry.create("spaces", training.trained_space)
    network = space.network(training.genome)
    (shape,) = network.input_shapes
    start, path = None, work.start
    if training.start:
        assert path is not None

        def start(module: nn.Module) -> None:
            work.note(load_start(module, path, training.start))

    return LearningProblem(
        network,
        replace(space.input, shape=shape),
        data,
        training.recipe,
        training.seed,
        training.identity,
        training.torch_device,
        training.threads,
        work.workers,
        start,
    )


def _recording(
    training: Training,
    data: TrainingData,
    store: Store,
    record: TrainingRecord,
    folder: TrainingFolder,
    work: Work,
    follow: Callable[[Event], object],
) -> Recording:
    """Return the records that the training writes."""
    logs = {folder.log: ""} | ({} if work.log is None else {work.log: training.name})
    epoch = steps_per_epoch(data, training.recipe.batch)
    steps = training.recipe.epochs * epoch
    return Recording(record, store, logs, folder.tensorboard if work.tensorboard else None, steps, epoch, follow)


def _facts(training: Training, data: TrainingData, outcome: Outcome) -> trained_weights.Facts:
    """Return the facts that are stored with the weights."""
    return trained_weights.Facts(
        space=training.trained_space,
        genome=training.genome,
        training=training.name,
        task=training.task,
        class_names=data.class_names,
        mean=data.mean,
        deviation=data.deviation,
        data=training.data,
        recipe=training.recipe.asdict(),
        result={part: asdict(result) for part, result in outcome.results.items()},
        nasctl=__version__,
    )

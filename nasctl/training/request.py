"""Trainings as a user asks for them: the options of `nasctl train`, from which trainings and their data follow."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nasctl import registry
from nasctl.architectures.listed import resolve_all
from nasctl.candidates.determinism import usable_device
from nasctl.errors import NasctlError
from nasctl.networks.graph import Network
from nasctl.problem.space import Genome, Input, SearchSpace
from nasctl.store.store import Store
from nasctl.system.terminal import say
from nasctl.training.few_examples import default_recipe
from nasctl.training.folder import TrainingFolder, trainings_folder
from nasctl.training.labelled import TrainingData, training_data
from nasctl.training.recipe import Recipe, TrainingTask, usual
from nasctl.training.starting_weights import weights_digest
from nasctl.training.training import Training


@dataclass(frozen=True)
class RecipeOptions:
    """A recipe as a user asks for it.

    Args:
        file: TOML file with fields of the recipe; None for the defaults of the task.
        epochs: Passes over the training part; None for those of the recipe.
        fields: Further fields, written "field=value".
    """

    file: Path | None = None
    epochs: int | None = None
    fields: tuple[str, ...] = ()

    def recipe(self, task: TrainingTask, examples: int | None = None) -> Recipe:
        """Return the recipe for a task.

        Without a file, epochs and batch it is `default_recipe`, which follows from the number of training examples.

        Args:
            task: The task.
            examples: Number of training examples; None for the usual recipe of the task, whatever their number.

        Raises:
            NasctlError: The file cannot be read, a field does not exist or has a bad value, or two options give other
                numbers of epochs.
        """
        values = dict(_field(text) for text in self.fields)
        fixed = self.file is not None or self.epochs is not None or values.keys() & {"epochs", "batch"}
        start = usual(task) if fixed or examples is None else default_recipe(task, examples)
        if self.epochs is not None:
            if values.get("epochs", self.epochs) != self.epochs:
                raise NasctlError(
                    f"Cannot train for both --epochs {self.epochs} and --set epochs={values['epochs']}. Leave one out."
                )
            values["epochs"] = self.epochs
        if "epochs" in values and "warmup" not in values and self.file is None and isinstance(values["epochs"], int):
            values["warmup"] = min(start.warmup, values["epochs"])  # one epoch has no room for a whole epoch of warm-up
        return (start if self.file is None else Recipe.read(self.file, start)).changed(values, "--set")


@dataclass(frozen=True)
class TrainRequest:
    """Options of `nasctl train` that determine what is trained.

    Args:
        archs: Architectures as `resolve_all` takes them.
        data: The name or path of labelled data.
        space: Spec of the search space; None if each architecture names its space.
        split: Shares of the parts, such as "0.8,0.1,0.1".
        split_seed: Seed of the split.
        recipe: The recipe.
        start: File of a state dict, or the name of a training, to begin with; None for drawn weights, or `slices`.
        seed: Seed of weights, order and augmentation.
        threads: Threads of torch.
        torch_device: The torch device, such as "cpu" or "cuda:0".
        world: Processes that train together.
        name: A name for the training, in place of the default one.
        slices: Returns the file of the weights that a network begins with, for the spec of its space and its genome;
            None if all begin with `start`.
    """

    archs: tuple[str, ...]
    data: str
    space: str | None = None
    split: str = "0.8,0.1,0.1"
    split_seed: int = 0
    recipe: RecipeOptions = field(default_factory=RecipeOptions)
    start: Path | None = None
    seed: int = 0
    threads: int = 1
    torch_device: str = "cpu"
    world: int = 1
    name: str = ""
    slices: Callable[[str, Genome], Path] | None = None

    def start_of(self, space: str, genome: Genome) -> Path | None:
        """Return the file of the weights that a network begins with; None for drawn weights.

        Args:
            space: Spec of the space that is trained.
            genome: The genome.

        Raises:
            NasctlError: The network cannot begin with the weights that are asked for.
        """
        return self.start if self.slices is None else self.slices(space, genome)

    def trainings(self, store: Store) -> list[tuple[Training, TrainingData]]:
        """Return the trainings with their data.

        Args:
            store: The store that knows the options of ids.

        Raises:
            NasctlError: An option names something that does not exist, or does not fit the network.
        """
        return self.trainings_of(resolve_all(self.archs, store, self.space), store)

    def trainings_of(self, chosen: Sequence[tuple[str, Genome]], store: Store) -> list[tuple[Training, TrainingData]]:
        """Return the trainings of networks with their data.

        Args:
            chosen: Spec of the search space and genome of each network.
            store: The store. A training that it has begun with the usual recipe keeps that.

        Raises:
            NasctlError: An option names something that does not exist, or does not fit a network.
        """
        usable_device(self.torch_device)
        if self.name and len(chosen) > 1:
            raise NasctlError(f"--name {self.name} is for one training, and here are {len(chosen)}; leave it out")
        known: dict[tuple[Input, TrainingTask], TrainingData] = {}
        found = [self._training(spec, genome, known) for spec, genome in chosen]
        return [(self._as_begun(training, store), data) for training, data in found]

    def _as_begun(self, training: Training, store: Store) -> Training:
        """Return a training with the usual recipe if the store has begun it so, as an earlier version of nasctl did."""
        earlier = replace(training, recipe=self.recipe.recipe(training.task))
        if earlier.recipe == training.recipe:
            return training
        begun = [one.spec for one in store.trainings(training.space, training.genome) if one.name == earlier.name]
        if earlier.spec not in begun:
            return training
        now = training.recipe
        say(
            f"{earlier.name} keeps the recipe that the store has of it: {earlier.recipe.epochs} epochs of batch"
            f" {earlier.recipe.batch}. Today's default is {now.epochs} of batch {now.batch}; --epochs {now.epochs}"
            f" --set batch={now.batch} trains so"
        )
        return earlier

    def _training(
        self, spec: str, genome: Genome, known: dict[tuple[Input, TrainingTask], TrainingData]
    ) -> tuple[Training, TrainingData]:
        """Return one training with its data.

        Args:
            spec: Spec of the search space.
            genome: The genome.
            known: Data by the input and the task of the networks that it was read for.
        """
        space: SearchSpace = registry.create("spaces", spec)
        network = space.network(genome)
        (shape,) = network.input_shapes
        wanted = replace(space.input, shape=shape)
        task = task_of(network, wanted)
        if (wanted, task) not in known:
            known[wanted, task] = training_data(self.data, wanted, None, self.split, self.split_seed, task)
        data = known[wanted, task]
        classes = None if data.class_names is None else len(data.class_names)
        trained = trained_space(spec, classes if data.task == "classes" else None)
        start = self.start_of(trained, genome)
        training = Training(
            space=registry.spelled_out("spaces", spec),
            genome=genome,
            trained_space=trained,
            task=data.task,
            data=str(data),
            recipe=self.recipe.recipe(data.task, data.size("train")),
            seed=self.seed,
            threads=self.threads,
            torch_device=self.torch_device,
            world=self.world,
            start="" if start is None else weights_digest(start),
            called=self.name,
        )
        return training, data


def weights_file(start: Path, store: Store) -> Path:
    """Return the file of the weights that a training begins with.

    Args:
        start: The file, or the name of a training of the store, or the beginning of its name.
        store: The store.

    Raises:
        NasctlError: There is neither such a file nor such a training, or the training has no weights yet.
    """
    if start.exists() or start.suffix:
        return start
    try:
        name = store.training(str(start)).name
    except NasctlError as error:
        raise NasctlError(f"--from {start} is no file, and {error}") from None
    path = TrainingFolder(trainings_folder(store.path) / name).weights
    if not path.exists():
        raise NasctlError(f"training {name} has no weights yet; type its command again, or give another --from")
    return path


def task_of(network: Network, wanted: Input) -> TrainingTask:
    """Return the task that a network is trained for, by its input and its output."""
    if wanted.kind == "images":
        return "classes"
    return "next words" if network.out_shape == (*wanted.shape, wanted.vocabulary) else "masked words"


def task_asked(archs: Sequence[str], store: Store, spec: str | None) -> TrainingTask:
    """Return the task of the first architecture, or of a space; "classes" where neither is given.

    Args:
        archs: Architectures as `resolve_all` takes them.
        store: The store that knows the options of ids.
        spec: Spec of the space.
    """
    if not archs and spec is None:
        return "classes"
    if archs:
        spec, genome = resolve_all(archs[:1], store, spec)[0]
        space: SearchSpace = registry.create("spaces", spec)
    else:
        space = registry.create("spaces", str(spec))
        genome = space.canonical((0,) * len(space.genes))
    return task_of(space.network(genome), space.input)


def trained_space(spec: str, classes: int | None) -> str:
    """Return the spec of the space that is trained, with every option: `classes=K` where the space has that option.

    Args:
        spec: Spec of the space as asked for.
        classes: Number of classes of the data; None if the data has no classes.
    """
    whole = registry.spelled_out("spaces", spec)  # options are sorted, and each is there
    return whole if classes is None else re.sub(r"(?<=[:,])classes=\d+", f"classes={classes}", whole)


def _field(text: str) -> tuple[str, Any]:
    """Return name and value of "field=value", where the value is written as in TOML or is a bare word.

    Raises:
        NasctlError: The text has no "=".
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise NasctlError(f"--set takes FIELD=VALUE, such as rate=0.05, and not {text!r}")
    try:
        return name.strip(), json.loads(value)
    except ValueError:
        return name.strip(), value.strip()

"""The training of a candidate of a search, as an objective asks for it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from nasctl.candidates.setting import RecordedData
from nasctl.errors import NasctlError
from nasctl.problem.space import Input

if TYPE_CHECKING:
    from nasctl.candidates.candidate import Candidate
    from nasctl.candidates.setting import Setting
    from nasctl.data import Data
    from nasctl.networks.graph import Network
    from nasctl.problem.space import Genome, SearchSpace
    from nasctl.training.labelled import TrainingData
    from nasctl.training.recipe import Recipe, TrainingTask
    from nasctl.training.training import Trained, Training


@dataclass(frozen=True)
class CandidateTraining:
    """How a search trains its candidates.

    Args:
        recipe: Path of a TOML file with fields of the recipe; "" for the usual recipe of the task.
        epochs: Passes over the training part; 0 for those of the recipe.
        split: Shares of the parts of the data, "0.8-0.1-0.1".
        split_seed: Seed of the split.
        batch: Examples of a step; 0 for those of the recipe.

    Raises:
        NasctlError: The path of the recipe cannot be part of the spec of an objective.
    """

    recipe: str = ""
    epochs: int = 0
    split: str = "0.8-0.1-0.1"
    split_seed: int = 0
    batch: int = 0

    def __post_init__(self) -> None:
        if any(one in self.recipe for one in ",=:@"):
            raise NasctlError(
                f"Cannot use the recipe {self.recipe!r} in a search: its path is part of specs. Leave ',', '=', ':' and"
                " '@' out of the names of the file and its folders."
            )

    def objective(self, measure: str = "accuracy") -> str:
        """Return the spec of the objective that trains so, without options that have their defaults.

        Args:
            measure: "accuracy" or "loss".
        """
        given = {**asdict(self), "measure": measure}
        usual = {**asdict(CandidateTraining()), "measure": "accuracy"}
        options = ",".join(f"{name}={value}" for name, value in given.items() if value != usual[name])
        return f"trained:{options}" if options else "trained"

    def recipe_for(self, task: TrainingTask) -> Recipe:
        """Return the recipe for a task.

        Raises:
            NasctlError: The recipe's file cannot be read.
        """
        from nasctl.training.request import RecipeOptions  # it imports torch

        file = Path(self.recipe) if self.recipe else None
        fields = (f"batch={self.batch}",) if self.batch else ()
        return RecipeOptions(file, self.epochs or None, fields).recipe(task)

    def for_examples(self, task: TrainingTask, examples: int) -> CandidateTraining:
        """Return the trainings with the epochs and the batch of the default recipe, where neither was chosen.

        Epochs and batch are part of the objective, so that labels of few examples never mix with others.

        Args:
            task: The task.
            examples: Number of training examples.
        """
        from nasctl.training.few_examples import default_recipe
        from nasctl.training.recipe import usual

        found = default_recipe(task, examples)
        if self.recipe or self.epochs or self.batch or found == usual(task):
            return self
        return replace(self, epochs=found.epochs, batch=found.batch)

    def version(self, given: Input, example: Network) -> str:
        """Return a text that differs wherever the trained weights of a network may differ.

        Args:
            given: The input of the network.
            example: A network of the space.
        """
        from nasctl.training.request import task_of

        return f"{self.recipe_for(task_of(example, given)).digest}-{self.split}-{self.split_seed}"

    def data(self, setting: Setting, network: Network, given: Input) -> TrainingData:
        """Return the labelled data of a setting, with its parts.

        Args:
            setting: The setting of the search.
            network: A network of the space.
            given: The input of the space.

        Raises:
            NasctlError: The data has no labels, or is not at hand.
        """
        from nasctl.training.request import task_of

        if isinstance(setting.data, RecordedData):
            raise NasctlError(f"Cannot train on {setting.data}: a record holds only the name. Give it with --data.")
        (shape,) = network.input_shapes
        wanted = replace(given, shape=shape)
        return _opened(
            _Source(setting.data), wanted, self.split.replace("-", ","), self.split_seed, task_of(network, wanted)
        )

    def training(self, space: str, genome: Genome, data: TrainingData, setting: Setting) -> Training:
        """Return the training of a candidate.

        Args:
            space: Spec of the space, with every default written out.
            genome: The genome.
            data: The data.
            setting: The setting of the search.
        """
        from nasctl.training.request import trained_space
        from nasctl.training.training import Training

        classes = None if data.class_names is None else len(data.class_names)
        return Training(
            space=space,
            genome=genome,
            trained_space=trained_space(space, classes if data.task == "classes" else None),
            task=data.task,
            data=str(data),
            recipe=self.recipe_for(data.task),
            seed=setting.seed,
            threads=setting.threads,
            torch_device=setting.device,
        )

    def train(self, candidate: Candidate, space: str, store: str) -> Trained:
        """Train a candidate from its newest checkpoint, and file the training; a finished training is only read.

        Args:
            candidate: The candidate.
            space: Spec of its space, with every default written out.
            store: Path of the store.

        Raises:
            NasctlError: The data cannot be used, or a file cannot be written.
            ArithmeticError: The training diverges.
        """
        from nasctl.store.store import Store
        from nasctl.training.events import TrainingDiverged
        from nasctl.training.training import Work, run_training

        setting = candidate.setting
        data = self.data(setting, candidate.network, candidate.space.input)
        training = self.training(space, candidate.genome, data, setting)
        try:
            return run_training(training, data, Store(store), Work(workers=0))
        except TrainingDiverged as failure:  # this candidate has failed; the search goes on
            raise ArithmeticError(str(failure)) from None


@dataclass(frozen=True, eq=False)
class _Source:
    """Data that equals itself only: equal data may lie at two places, and one of the two may be gone."""

    data: Data

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Source) and other.data is self.data

    def __hash__(self) -> int:
        return id(self.data)


# All candidates of a process share decoded images. Listing files and decoding a sample anew takes seconds each time.
@lru_cache(maxsize=1)
def _opened(source: _Source, wanted: Input, split: str, split_seed: int, task: TrainingTask) -> TrainingData:
    """Return data for training; see `training_data_of`."""
    from nasctl.training.labelled import training_data_of

    return training_data_of(source.data, wanted, None, split, split_seed, task)


def labelled_classes(space: SearchSpace, setting: Setting) -> int | None:
    """Return the number of classes of a setting's data; None for words.

    Raises:
        NasctlError: The data has no labels.
    """
    network = space.network(space.canonical((0,) * len(space.genes)))
    names = CandidateTraining().data(setting, network, space.input).class_names
    return None if names is None else len(names)

"""A supernet as a user asks for it: the options of `nasctl supernet train`, from which question and data follow."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from nasctl import registry
from nasctl.candidates.determinism import usable_device
from nasctl.errors import NasctlError
from nasctl.problem.space import Genome, Input, SearchSpace
from nasctl.problem.strategy import ReadsTeacher
from nasctl.supernets.elastic_networks import ElasticNetworks
from nasctl.supernets.problem import default_share
from nasctl.supernets.question import Supernet, widest
from nasctl.supernets.slots import Share
from nasctl.supernets.starting_slices import split_doubts
from nasctl.supernets.trained_supernet import TrainedSupernet, holds_supernet
from nasctl.training import trained_weights
from nasctl.training.labelled import TrainingData, training_data
from nasctl.training.recipe import TrainingTask
from nasctl.training.request import RecipeOptions, task_of, trained_space
from nasctl.training.starting_weights import weights_digest

DEFAULT_STRATEGY = "sandwich"


@dataclass(frozen=True)
class SupernetRequest:
    """Options of `nasctl supernet train` that determine what is trained.

    Args:
        space: Spec of the search space.
        data: The name or path of labelled data.
        strategy: Spec of the strategy.
        share: What candidates share; None for the default of the space.
        split: Shares of the parts, such as "0.8,0.1,0.1".
        split_seed: Seed of the split.
        recipe: The recipe.
        seed: Seed of weights, order, augmentation and genomes.
        threads: Threads of torch.
        torch_device: The torch device, such as "cpu" or "cuda:0".
        world: Processes that train together.
        name: A name for the supernet, in place of the default one.
        start: File of the weights to begin with, of a network or of a supernet; None for drawn weights.
    """

    space: str
    data: str
    strategy: str = DEFAULT_STRATEGY
    share: Share | None = None
    split: str = "0.8,0.1,0.1"
    split_seed: int = 0
    recipe: RecipeOptions = field(default_factory=RecipeOptions)
    seed: int = 0
    threads: int = 1
    torch_device: str = "cpu"
    world: int = 1
    name: str = ""
    start: Path | None = None

    def supernet(self) -> tuple[Supernet, TrainingData]:
        """Return the question with its data, which are read at the resolution of the largest network.

        Raises:
            NasctlError: An option names something that does not exist, or the data cannot train the networks of the
                space.
        """
        usable_device(self.torch_device)
        strategy, teacher = registry.spelled_out("strategies", self.strategy), self._teacher()
        if teacher is not None:
            given = registry.options("strategies", self.strategy)["teacher"]
            strategy = strategy.replace(f"teacher={given}", f"teacher={teacher.absolute()}")
        space: SearchSpace = registry.create("spaces", self.space)
        wanted, task = _input_and_task(space)
        data = training_data(self.data, wanted, None, self.split, self.split_seed, task)
        classes = None if data.class_names is None else len(data.class_names)
        supernet = Supernet(
            space=trained_space(self.space, classes if data.task == "classes" else None),
            share=self.share or default_share(space),
            strategy=strategy,
            task=data.task,
            data=str(data),
            recipe=self.recipe.recipe(data.task),
            seed=self.seed,
            threads=self.threads,
            torch_device=self.torch_device,
            world=self.world,
            start="" if self.start is None else weights_digest(self.start),
            start_genome=None if self.start is None else _trained_genome(self.start, space),
            teacher="" if teacher is None else _digest(teacher),
            called=self.name,
        )
        trained: SearchSpace = registry.create("spaces", supernet.space)
        example = trained.canonical((0,) * len(trained.genes))
        ElasticNetworks(trained, supernet.share, data.task).check(example, classes)
        return supernet, data

    def doubts(self, data: TrainingData) -> list[str]:
        """Return warnings if the weights to begin with, or a teacher, have learned examples that are held out here.

        Args:
            data: The data of the supernet.
        """
        given = {"what --from names": self.start, "the teacher": self._teacher()}
        found = []
        for what, path in given.items():
            with suppress(NasctlError):  # weights that nasctl did not train name no data
                if path is not None:
                    learned = TrainedSupernet(path).facts if holds_supernet(path) else trained_weights.read(path)[1]
                    found += split_doubts(what, learned.data, data)
        return found

    def _teacher(self) -> Path | None:
        """Return the file of the strategy's teacher; None for none."""
        kind = registry.load("strategies", registry.plugin_of(self.strategy))
        given = str(registry.options("strategies", self.strategy).get("teacher", ""))
        return Path(given) if given and issubclass(kind, ReadsTeacher) else None


def task_asked(spec: str) -> TrainingTask:
    """Return the task that the networks of a space are trained for."""
    return _input_and_task(registry.create("spaces", spec))[1]


def _digest(teacher: Path) -> str:
    """Return the digest of a teacher's file."""
    try:
        return weights_digest(teacher)
    except NasctlError:
        raise NasctlError(
            f"Cannot learn from the teacher {teacher}: there is no such file. Give teacher=FILE with the"
            " weights.safetensors of a training."
        ) from None


def _trained_genome(weights: Path, space: SearchSpace) -> Genome | None:
    """Return the canonical genome that nasctl trained the weights of; None for other weights.

    Raises:
        NasctlError: The weights are of a network of another space.
    """
    try:
        _, facts = trained_weights.read(weights)
    except NasctlError:
        return None
    own: SearchSpace = registry.create("spaces", facts.space)
    if [gene.choices for gene in own.genes] != [gene.choices for gene in space.genes]:
        raise NasctlError(
            f"Cannot begin with the weights {weights}: they are of a network of {facts.space}. Give those of a"
            " network of this space."
        )
    return space.canonical(tuple(facts.genome))


def _input_and_task(space: SearchSpace) -> tuple[Input, TrainingTask]:
    """Return the largest input of the networks of a space, and the task that they are trained for."""
    network = widest(space)
    wanted = replace(space.input, shape=network.input_shapes[0])
    return wanted, task_of(network, wanted)


__all__ = ["DEFAULT_STRATEGY", "SupernetRequest", "task_asked"]

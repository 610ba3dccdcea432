"""The question of a supernet's training: everything that its weights depend on, and the name that follows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from nasctl import registry
from nasctl.errors import NasctlError
from nasctl.networks.graph import Network
from nasctl.problem.space import Genome, SearchSpace
from nasctl.problem.strategy import Strategy
from nasctl.supernets.problem import SupernetProblem
from nasctl.supernets.shared_weights import SharedWeights
from nasctl.supernets.slots import Share
from nasctl.supernets.starting_supernet import begin_with_supernet
from nasctl.supernets.trained_supernet import holds_supernet
from nasctl.training.folder import check_name
from nasctl.training.labelled import TrainingData
from nasctl.training.recipe import Recipe, TrainingTask
from nasctl.training.starting_weights import load_start
from nasctl.training.training import Work


@dataclass(frozen=True)
class Supernet:
    """The question of a supernet's training.

    Args:
        space: Spec of the search space as trained, with every option; it has the outputs that the data needs.
        share: What candidates share.
        strategy: Spec of the strategy, with every option; the path of a teacher is absolute.
        task: The task.
        data: The identity of the data, with its split.
        recipe: The recipe.
        seed: Seed of weights, order, augmentation and genomes.
        threads: Threads of torch.
        torch_device: The torch device. Devices of one kind count as the same question.
        world: Processes that train together.
        start: Digest of the file whose weights the training begins with; "" for drawn weights.
        start_genome: Genome of the network that these are the weights of; None for the largest network.
        teacher: Digest of the file of the strategy's teacher; "" for none.
        called: A name in place of the default one.

    Raises:
        NasctlError: No supernet can have the name `called`.
    """

    space: str
    share: Share
    strategy: str
    task: TrainingTask
    data: str
    recipe: Recipe
    seed: int = 0
    threads: int = 1
    torch_device: str = "cpu"
    world: int = 1
    start: str = ""
    start_genome: Genome | None = None
    teacher: str = ""
    called: str = ""

    def __post_init__(self) -> None:
        if self.called:
            check_name(self.called)
        if self.called.endswith((".json", ".safetensors")):
            raise NasctlError(
                f"A supernet cannot be called {self.called!r}: accuracy@{self.called} would name a file. Give another"
                " --name."
            )

    @property
    def spec(self) -> dict[str, Any]:
        """The question as JSON. Fields of the recipe that change no weights are not part of it."""
        return {
            "space": self.space,
            "share": self.share,
            "strategy": self.known_strategy,
            "task": self.task,
            "data": self.data,
            "recipe": self.recipe.question,
            "seed": self.seed,
            "threads": self.threads,
            "device": self.torch_device.partition(":")[0],
            "processes": self.world,
            "start": self.start,
            "start_genome": None if self.start_genome is None else list(self.start_genome),
        }

    @property
    def known_strategy(self) -> str:
        """The spec of the strategy with the digest of the teacher in place of its path, which may change."""
        if not self.teacher:
            return self.strategy
        path = registry.options("strategies", self.strategy)["teacher"]
        return self.strategy.replace(f"teacher={path}", f"teacher={self.teacher}")

    @property
    def identity(self) -> str:
        """The digest of the question, under which checkpoints are filed."""
        return hashlib.sha256(json.dumps(self.spec, sort_keys=True).encode()).hexdigest()

    @property
    def name(self) -> str:
        """The name, such as "nbmacro-sandwich-blocks-1c9f2a07".

        It ends in a digest of the question, so the same question resumes the training.
        """
        words = registry.short_name(self.space), registry.short_name(self.strategy), self.share, self.identity[:8]
        return self.called or "-".join(words)

    def problem(self, data: TrainingData, work: Work | None = None) -> SupernetProblem:
        """Return the problem that the training loop solves.

        Args:
            data: The data.
            work: How the training is carried out, with the file of the weights of `start`.
        """
        work = work or Work(workers=0)
        start, start_supernet = self._starts(work.start, work.note) if self.start else (None, None)
        space: SearchSpace = registry.create("spaces", self.space)
        network = widest(space)
        return SupernetProblem(
            network,
            replace(space.input, shape=network.input_shapes[0]),
            data,
            self.recipe,
            self.seed,
            self.identity,
            self.torch_device,
            self.threads,
            work.workers,
            start,
            space=space,
            share=self.share,
            strategy=self.strategy,
            start_genome=self.start_genome,
            start_supernet=start_supernet,
        )

    def _starts(
        self, path: Path | None, note: Callable[[str], object]
    ) -> tuple[Callable[[nn.Module], None] | None, Callable[[Strategy, SharedWeights], None] | None]:
        """Return what loads the weights of `start` into a module, or into all shared weights; the other one is None.

        Args:
            path: Their file.
            note: Receives a sentence on them.
        """
        assert path is not None

        def network(module: nn.Module) -> None:
            note(load_start(module, path, self.start))

        def supernet(strategy: Strategy, weights: SharedWeights) -> None:
            note(begin_with_supernet(path, self.start, strategy, weights))

        return (None, supernet) if holds_supernet(path) else (network, None)


def widest(space: SearchSpace) -> Network:
    """Return a network with the largest input among that of the last choices and its neighbours in single genes.

    Where the resolution is a gene, images are read at the largest one, and scaled down for the other networks.
    """
    last = [len(gene.choices) - 1 for gene in space.genes]
    found = space.network(space.canonical(tuple(last)))
    for place, gene in enumerate(space.genes):
        for choice in range(len(gene.choices) - 1):
            one = space.network(space.canonical((*last[:place], choice, *last[place + 1 :])))
            if _extent(one) > _extent(found):
                found = one
    return found


def _extent(network: Network) -> int:
    """Return the length of the longest axis of a network's input."""
    return max(size for shape in network.input_shapes for size in shape)


__all__ = ["Supernet", "widest"]

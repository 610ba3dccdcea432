"""Events of a training, for displays and logs, and what a training is asked for and returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nasctl.errors import NasctlError
from nasctl.networks.graph import Network
from nasctl.problem.space import Input
from nasctl.training.evaluation import Result
from nasctl.training.recipe import Recipe

if TYPE_CHECKING:
    from nasctl.training.labelled import Part, TrainingData


class TrainingDiverged(NasctlError):
    """A training that has diverged for the second time, or whose trained network has no finite loss."""


class RanksLost(NasctlError):
    """A training that cannot go on because another of its processes has ended."""


@dataclass(frozen=True)
class LearningProblem:
    """A network and everything that its trained weights depend on."""

    network: Network
    input: Input  # of its space
    data: TrainingData
    recipe: Recipe
    seed: int = 0
    identity: str = ""  # digest that checkpoints are filed under; a checkpoint of another one is refused
    device: str = "cpu"
    threads: int = 1  # of torch
    workers: int | None = 0  # processes that decode examples; None for as many as are of use; changes no weight
    start: Callable[[nn.Module], object] | None = None  # replaces the drawn weights of the module, for fine-tuning


@dataclass(frozen=True)
class Ranks:
    """The place of this process among those that train together.

    Args:
        rank: Number of the process.
        world: Number of processes.
        reduce: Adds a flat tensor up over all processes, in place. Each process calls it equally often. It raises
            `RanksLost` if a process has ended.
        stop: Returns whether this process was asked to stop. All processes then stop after the same step.
    """

    rank: int = 0
    world: int = 1
    reduce: Callable[[Tensor], None] = lambda flat: None
    stop: Callable[[], bool] = lambda: False

    def shared(self, content: bytes) -> bytes:
        """Return the content that the first process gives, on every process; the others' contents are ignored.

        Only the first process needs the folder of the training, so the others may run on other machines.
        """
        if self.world == 1:
            return content
        size = torch.tensor([0 if self.rank else len(content)])
        self.reduce(size)
        flat = torch.zeros(int(size), dtype=torch.uint8)  # a sum of integers is exact
        if len(flat):
            if not self.rank:
                flat.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
            self.reduce(flat)
        return flat.numpy().tobytes()


@dataclass(frozen=True)
class Resumed:
    """The training continues from a checkpoint."""

    step: int
    path: Path
    versions: Mapping[str, str]  # of nasctl and torch that wrote it; with other versions, the last bits may differ


@dataclass(frozen=True)
class StepDone:
    """A step is done."""

    step: int  # steps done, from 1
    steps: int  # of the whole training
    epoch: int  # in progress, from 1
    loss: float  # of the batch, over all ranks
    accuracy: float | None  # of the batch; None for words, and where labels are mixed
    examples_per_second: float
    rate: float  # learning rate


@dataclass(frozen=True)
class Evaluated:
    """A part is evaluated."""

    part: Part
    result: Result
    step: int  # steps done
    epoch: float  # epochs done
    subnet: str = ""  # name of the network among those of a supernet; "" if one network is trained


@dataclass(frozen=True)
class Checkpointed:
    """A checkpoint is written."""

    path: Path
    step: int


@dataclass(frozen=True)
class Diverged:
    """The training has diverged, and goes back to an earlier step at half the rate."""

    step: int  # the step that diverged, from 1
    loss: float
    back_to: int  # steps done at the point that it goes back to
    rate_factor: float  # of the rates from here on


Event = Resumed | StepDone | Evaluated | Checkpointed | Diverged


@dataclass(frozen=True)
class Outcome:
    """The outcome of a training, or of its first steps.

    Attributes:
        results: Results by part: of validation and test, or of validation alone before the last step.
        make_state: Returns `state`, which is a copy of the weights. Many callers need none.
        step: Steps done.
        steps: Steps of the whole training.
        halvings: Times that a divergence has halved the rate.
        seconds: Wall time of this call, without earlier ones that it continues.
    """

    results: Mapping[Part, Result]
    make_state: Callable[[], Mapping[str, Tensor]] = field(repr=False)
    step: int
    steps: int
    halvings: int
    seconds: float

    @cached_property
    def state(self) -> Mapping[str, Tensor]:
        """State dict of the network's module on the CPU; with an average of weights, the averaged ones."""
        return self.make_state()

    @property
    def finished(self) -> bool:
        """True after the last step."""
        return self.step == self.steps


__all__ = [
    "Checkpointed",
    "Diverged",
    "Evaluated",
    "Event",
    "LearningProblem",
    "Outcome",
    "Ranks",
    "RanksLost",
    "Resumed",
    "StepDone",
    "TrainingDiverged",
]

"""The protocol of strategies that train a supernet: which networks a step trains, and from what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from nasctl.problem.space import Genome, SearchSpace
from nasctl.problem.strategy_step import GeneKind, StepBatch, StepNetworks, TeacherNetwork

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from torch import Tensor, nn

Lessons = Literal["labels", "teacher", "both"]

Pick = Literal["only", "best", "worst"]


@dataclass(frozen=True, slots=True)
class Pass:
    """One forward and backward pass of a step. The gradients of all passes of a step add up.

    Args:
        genomes: Canonical genomes. With several, the pass trains the one that `pick` names, by the loss on the step's
            own batch without a gradient.
        pick: "only" for a single genome, or the genome with the lowest ("best") or the highest ("worst") loss.
        teaches: Whether later passes of the step may learn from the outputs of this one.
        learns: What the pass learns from: labels, the outputs of the pass that teaches, or both.
        weight: Factor of the loss.
        copy: Number of the copy of the shared weights that the pass trains.
        labels: Share of the loss on labels where `learns` is "both".
    """

    genomes: tuple[Genome, ...]
    pick: Pick = "only"
    teaches: bool = False
    learns: Lessons = "labels"
    weight: float = 1.0
    copy: int = 0
    labels: float = 0.5


class StrategyContext(Protocol):
    """The training that a strategy belongs to. Everything here is the same on each processor and after a resumption."""

    space: SearchSpace
    seed: int  # of the training
    steps: int  # of the whole training
    largest: Genome  # the network with the most multiply-accumulates
    smallest: Genome  # the one with the fewest
    layers: tuple[str, ...]  # names of all layers that have shared weights, of any network

    def rng(self, step: int) -> np.random.Generator:
        """Return the random generator of a step, which depends on seed and step alone."""
        ...

    def draw(self, rng: np.random.Generator) -> Genome:
        """Return a canonical genome with uniform genes, whose weights are in the supernet."""
        ...

    def holds(self, genome: Genome) -> bool:
        """Return whether the weights of a canonical genome are in the supernet."""
        ...

    def macs(self, genome: Genome) -> float:
        """Return the multiply-accumulates of a genome's network for one example."""
        ...

    def gene_kinds(self) -> tuple[GeneKind, ...]:
        """Return for each gene how its choices differ from the largest network, (genes,).

        "sliced": choices have slices of the weights of larger ones, and are mixed by masks. "mixed": none has, and the
        space sums their outputs. "free": the choices change no weights, as resolutions do. "other": all else.
        """
        ...

    def teacher(self, path: Path, known: np.ndarray) -> TeacherNetwork:
        """Return the trained network of a file that `nasctl train` wrote.

        Args:
            path: The file.
            known: Its digest when the training began, (16,) uint8, or zeros, which are overwritten. An array of
                `Strategy.arrays`.

        Raises:
            NasctlError: The file cannot be read, holds no network that nasctl trained, or has changed.
        """
        ...


class Strategy(Protocol):
    """A way to train a supernet.

    A strategy may also implement `HasCopies`, `StartsAtZero`, `ChoosesDistance`, `ScalesRate`, `ReadsNorms`,
    `ReadsTeacher`, `StartsFromSupernet` and `StartsFromWeights`.
    One with weights or losses of its own implements `HasModules`, `MixesCopies`, `HasMeanTeacher`, `GivesLosses` or
    `ScoresGenomes`; one that learns choices implements `LearnsChoices` and `SplitsExamples`. Its first argument is a
    `StrategyContext`; its other arguments are options of its spec.
    """

    def passes(self, step: int) -> Sequence[Pass]:
        """Return the passes of a step, as a function of the seed, the step and `arrays` alone."""
        ...

    def told(self, step: int, losses: Sequence[float], norms: Sequence[float]) -> None:
        """Receive the outcome of a step.

        Args:
            step: The step, from 0.
            losses: Loss of each pass, over all processes.
            norms: Norm of the gradient of each pass; empty unless the strategy `ReadsNorms`.
        """
        ...

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The whole state that `told` changes, by name. Checkpoints hold it, and write it back in place."""
        ...


@runtime_checkable
class HasCopies(Protocol):
    """A strategy with several copies of the shared weights."""

    copies: int
    splits_at: int  # step before which all copies are copy 0

    def copy_of(self, genome: Genome) -> int:
        """Return the copy that has the weights of a genome."""
        ...


@runtime_checkable
class StartsAtZero(Protocol):
    """A strategy that says whether the last gain of each residual branch begins at zero."""

    zero_last_gains: bool


@runtime_checkable
class ChoosesDistance(Protocol):
    """A strategy that says how far outputs are from those of their teacher."""

    # "kl", the Kullback-Leibler divergence, or "alpha", the adaptive alpha divergence of AlphaNet. Its inverse
    # importance ratios are limited to 5, or to the number behind the word: "alpha1000".
    distance: str


@runtime_checkable
class ScalesRate(Protocol):
    """A strategy that changes the learning rate of a step, by what the step trains."""

    def rate_factor(self, step: int) -> float:
        """Return the factor of the learning rate of the recipe, above 0."""
        ...


@runtime_checkable
class ReadsNorms(Protocol):
    """A strategy that is told the norm of the gradient of each pass."""

    reads_norms: bool


@runtime_checkable
class StartsFromWeights(Protocol):
    """A strategy that trains on from the weights of a trained network, and cannot begin without them."""

    start_teaches: bool  # whether the given network, which stays as it is, teaches until a pass of the step does


@runtime_checkable
class StartsFromSupernet(Protocol):
    """A strategy that trains on from the weights of a trained supernet, and cannot begin without them."""

    def begin_with(self, probabilities: Sequence[np.ndarray], chosen: Genome | None, mixes_slices: bool) -> None:
        """Receive what the strategy of the given supernet has learned, before the first step.

        Args:
            probabilities: Those of the choices of each gene, (genes,) arrays of (choices,); () if it learns no choices.
            chosen: The genome that it chooses; None likewise.
            mixes_slices: Whether it `MixesSlices`.
        """
        ...


@runtime_checkable
class ReadsTeacher(Protocol):
    """A strategy whose option `teacher` is the file of a trained network, or "" for none.

    A supernet is known by the digest of that file, wherever the file lies.
    """

    def teacher_file(self) -> Path | None:
        """Return the file of the trained network; None if none teaches."""
        ...


@runtime_checkable
class HasModules(Protocol):
    """A strategy with torch modules of its own.

    Their parameters are trained beside the shared weights, with the same optimiser; those without `requires_grad` are
    left to the strategy. Checkpoints and the trained supernet hold parameters and buffers. Initial values must follow
    from the options and the seed alone, and changes in `told` from the step and from sums over all processes: batch
    norms need `track_running_stats=False`.
    """

    modules: Mapping[str, nn.Module]


@runtime_checkable
class MixesCopies(Protocol):
    """A strategy that mixes several copies of the shared weights, which begin with values of their own."""

    copies: int

    def mixture(self, genome: Genome) -> Tensor:
        """Return the share of each copy in each layer of `StrategyContext.layers`, (layers, copies)."""
        ...


@runtime_checkable
class HasMeanTeacher(Protocol):
    """A strategy for which copy 1 of the shared weights is a moving average of copy 0, and is never trained."""

    mean_teacher: bool  # whether there is such a copy

    def teacher_decay(self, step: int) -> float:
        """Return the share that copy 1 keeps of its values, where a step has trained copy 0."""
        ...


@runtime_checkable
class SplitsExamples(Protocol):
    """A strategy that learns weights from one half of the training examples and choices from the other."""

    splits_examples: bool


@runtime_checkable
class MixesSlices(Protocol):
    """A strategy whose mixtures of choices are those of `StepNetworks.entangled`, also where a space has others."""

    mixes_slices: bool


@runtime_checkable
class LearnsChoices(Protocol):
    """A strategy that learns which choices of the genes are good."""

    def probabilities(self) -> Sequence[np.ndarray]:
        """Return the probability of each choice of each gene, (genes,) arrays of (choices,) that add up to 1."""
        ...

    def chosen(self) -> Genome:
        """Return the canonical genome that the strategy would choose now. Its weights are in the supernet."""
        ...


@runtime_checkable
class GivesLosses(Protocol):
    """A strategy that computes its losses itself.

    Losses of several processes count by their numbers of examples, also where a loss is a mean over masked words.
    """

    chance: float  # a loss of a step below this never counts as diverged; infinite for losses without a scale

    def losses(self, step: int, passes: Sequence[Pass], batch: StepBatch, networks: StepNetworks) -> Iterator[Tensor]:
        """Yield the loss of each pass, (), the mean over the examples of this process.

        The gradient of each is computed before the next is asked for. A loss without a gradient trains nothing.
        """
        ...


@runtime_checkable
class ScoresGenomes(Protocol):
    """A strategy whose supernet scores networks by itself, without accuracies."""

    def score(self, genome: Genome) -> float | None:
        """Return the score of a canonical genome, of which less is better; None before there is one."""
        ...


__all__ = [
    "ChoosesDistance",
    "GivesLosses",
    "HasCopies",
    "HasMeanTeacher",
    "HasModules",
    "LearnsChoices",
    "Lessons",
    "MixesCopies",
    "MixesSlices",
    "Pass",
    "Pick",
    "ReadsNorms",
    "ReadsTeacher",
    "ScalesRate",
    "ScoresGenomes",
    "SplitsExamples",
    "StartsAtZero",
    "StartsFromSupernet",
    "StartsFromWeights",
    "Strategy",
    "StrategyContext",
]

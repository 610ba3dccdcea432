"""The protocol of strategies that train a supernet: which networks a step trains, and from what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from nasctl.problem.space import Genome, SearchSpace

if TYPE_CHECKING:
    import numpy as np

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
    steps: int  # of the whole training
    largest: Genome  # the network with the most multiply-accumulates
    smallest: Genome  # the one with the fewest

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


class Strategy(Protocol):
    """A way to train a supernet.

    A strategy may also implement `HasCopies`, `StartsAtZero`, `ChoosesDistance`, `ReadsNorms` and `StartsFromWeights`.
    Its first argument is a `StrategyContext`; its other arguments are options of its spec.
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

    distance: Literal["kl", "alpha"]  # Kullback-Leibler divergence, or the adaptive alpha divergence of AlphaNet


@runtime_checkable
class ReadsNorms(Protocol):
    """A strategy that is told the norm of the gradient of each pass."""

    reads_norms: bool


@runtime_checkable
class StartsFromWeights(Protocol):
    """A strategy that trains on from the weights of a trained network, and cannot begin without them."""

    start_teaches: bool  # whether the given network, which stays as it is, teaches until a pass of the step does


__all__ = [
    "ChoosesDistance",
    "HasCopies",
    "Lessons",
    "Pass",
    "Pick",
    "ReadsNorms",
    "StartsAtZero",
    "StartsFromWeights",
    "Strategy",
    "StrategyContext",
]

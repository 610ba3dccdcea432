"""The protocol of searchers, and the problem that a searcher solves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from nasctl.problem.space import Genome, SearchSpace

if TYPE_CHECKING:
    import numpy as np


Direction = Literal["min", "max"]

# The function of a value s that searchers see, up to its sign.
Transform = Literal["identity", "log10", "-log10(-s)"]

Cost = Literal["network", "module", "training"]  # arithmetic on the network, passes over a module, or a training


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The measured values of a genome, by objective. An objective that failed is in `errors` and not in `values`."""

    genome: Genome
    values: dict[str, float]
    errors: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Goal:
    """An objective of a searcher: one column of the losses."""

    name: str
    direction: Direction
    transform: Transform
    cost: Cost


class Problem(Protocol):
    """The part of a search that a searcher sees.

    A problem on a `MixableSpace` also implements `MixtureProblem`, and a search that begins with published networks
    `HasStartingGenomes`.
    """

    @property
    def space(self) -> SearchSpace:
        """The search space."""
        ...

    @property
    def objectives(self) -> Sequence[Goal]:
        """The objectives, (M,). All losses are minimised."""
        ...

    def cheap_losses(self, genomes: Sequence[Genome]) -> np.ndarray:
        """Return losses of canonical genomes in the objectives of cost "network". The call takes no budget.

        Returns:
            (N, M), to be minimised; NaN where an objective failed, and in the columns of objectives of cost "module".
        """
        ...

    def violation(self, genomes: Sequence[Genome]) -> np.ndarray:
        """Return the violation of the constraints that need no module. The call takes no budget.

        Returns:
            (N,), the sum over those constraints for each canonical genome; 0 where all of them hold.
        """
        ...


@runtime_checkable
class HasStartingGenomes(Protocol):
    """A problem that names genomes to begin with, such as published networks. They are evaluated first in any case.

    A searcher that asks `promising` for its initial genomes is given them, so it learns about them.
    """

    @property
    def starting_genomes(self) -> Sequence[Genome]:
        """Different canonical genomes."""
        ...


@runtime_checkable
class MixtureProblem(Problem, Protocol):
    """A problem that can evaluate a network which sums several choices of each gene."""

    def evaluate_mixture(self, allowed: Sequence[Sequence[int]]) -> np.ndarray:
        """Return the losses, (M,), of the network that sums the allowed choices of each gene, G lists."""
        ...


class Searcher(Protocol):
    """An algorithm that proposes genomes and learns from their losses, made with (problem, rng, **options).

    All randomness comes from `rng`, so that a search can be replayed. A searcher that works on some problems only also
    implements `HasNeeds`, and raises BadOption when it is made for another problem.
    """

    def ask(self) -> list[Genome]:
        """Return the next genomes, canonical; an empty list if the searcher has nothing left to propose."""
        ...

    def tell(self, losses: np.ndarray, violations: np.ndarray) -> None:
        """Learn about the genomes of the last ask, in their order.

        Args:
            losses: (N, M), to be minimised; NaN where an objective failed.
            violations: (N, C), 0 where a constraint holds, else the excess over its bound.
        """
        ...


@runtime_checkable
class HasNeeds(Protocol):
    """A searcher that needs more than a `Problem`."""

    needs: frozenset[str]  # "pool", a table of scores; "supernet", a space that implements `MixableSpace`


@runtime_checkable
class HasSurvivors(Protocol):
    """A searcher that names the genomes to judge it by, in place of all that it asked for."""

    @property
    def survivors(self) -> list[Genome] | None:
        """The genomes to judge the searcher by; None for all genomes that it asked for."""
        ...


@runtime_checkable
class HasFindings(Protocol):
    """A searcher that tells users what it has found out about the problem, such as whether its assumptions hold."""

    def findings(self) -> list[str]:
        """Return the sentences that are new since the last call."""
        ...


@runtime_checkable
class AcceptsBatch(Protocol):
    """A searcher that can learn about genomes that it did not propose.

    A run that is resumed on another processor uses it, because the same searcher may propose other genomes there.
    """

    def replace_batch(self, genomes: Sequence[Genome]) -> None:
        """Put other genomes in place of the last ask; the next `tell` is about them, in their order.

        Args:
            genomes: Different canonical genomes; the searcher was not told about any of them before.
        """
        ...

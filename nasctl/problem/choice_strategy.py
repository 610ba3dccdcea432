"""Protocols of strategies that learn a distribution of whole genomes; see `nasctl.problem.strategy.LearnsChoices`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from nasctl.problem.space import Genome
from nasctl.problem.strategy import LearnsChoices

if TYPE_CHECKING:
    import numpy as np

    from nasctl.problem.choice_controller import ChoiceController


@runtime_checkable
class DrawsGenomes(LearnsChoices, Protocol):
    """A strategy that learns a distribution of whole genomes, whose genes are not independent."""

    def draw(self, rng: np.random.Generator) -> Genome:
        """Return a canonical genome drawn from the distribution, whose weights are in the supernet."""
        ...


@runtime_checkable
class HasController(Protocol):
    """A strategy whose choices a recurrent network draws, which `nasctl supernet controller` examines."""

    controller: ChoiceController


__all__ = ["DrawsGenomes", "HasController"]

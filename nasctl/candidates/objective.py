"""The protocol of objectives."""

from __future__ import annotations

from typing import Protocol

from nasctl.candidates.candidate import Candidate
from nasctl.problem.searcher import Direction, Transform

ARITHMETIC = frozenset({"network", "scored"})  # needs that no module has to be made for


def closed_form(objective: Objective) -> bool:
    """Whether an objective is arithmetic, free of budget."""
    return objective.needs <= ARITHMETIC


class Objective(Protocol):
    """One number about a candidate, in its natural unit and direction.

    It may also have `monotone = True`, the promise that a network in which no layer is smaller never has less of it;
    `label`, a name for people in place of its spec; `remarks(space, example)`, sentences to show beside its values
    for a space, by its spec, of which a network is given; and `misfit(given, example)`, why it says nothing of networks
    like the example that take such an `Input`, "" where it does.
    """

    unit: str  # what people read behind the number: "ms", "MACs", "log10"
    direction: Direction
    # What it reads of a candidate: "network", "scored", "module", "activations", "gradients", "input_gradients",
    # "second_gradients", "curvature", "saliences", "samples", "features", "attention", "attention_gradients".
    needs: frozenset[str]
    version: str  # changes whenever values change, because stored values are filed under it
    transform: Transform  # what searchers see of it

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate; raise rather than return a stand-in."""
        ...

"""Weights that a supernet's training starts from: those of another supernet of the same networks."""

from __future__ import annotations

from pathlib import Path

import torch

from nasctl.errors import NasctlError
from nasctl.problem.space import MixableSpace
from nasctl.problem.strategy import (
    LearnsChoices,
    MixesCopies,
    MixesSlices,
    ScoresGenomes,
    StartsFromSupernet,
    StartsFromWeights,
    Strategy,
)
from nasctl.supernets.context import TrainingContext
from nasctl.supernets.shared_weights import SharedWeights
from nasctl.supernets.subnet_draws import distribution_of
from nasctl.supernets.trained_supernet import TrainedSupernet


def begin_with_supernet(path: Path, expected: str, strategy: Strategy, weights: SharedWeights) -> str:
    """Copy the weights of a trained supernet into every copy of shared weights, and return a sentence for people.

    Args:
        path: The file of the trained supernet.
        expected: The digest of the file when the training was asked for.
        strategy: The strategy that trains on.
        weights: The shared weights.

    Raises:
        NasctlError: The file has changed, its networks or what they share are others, or the strategy cannot use it.
    """
    given = TrainedSupernet(path)
    if given.digest != expected:
        raise NasctlError(f"the weights {path} have changed since the training was asked for; type the command again")
    start = f"Cannot begin with the weights of the supernet {given.name}"
    if isinstance(strategy, StartsFromWeights):
        raise NasctlError(f"{start}: this strategy makes one network elastic. Give the weights of a network.")
    if isinstance(strategy, MixesCopies):
        raise NasctlError(
            f"{start}: equal copies stay equal, and mix nothing. Begin with drawn weights, or choose another strategy."
        )
    if given.has_several_copies:
        raise NasctlError(
            f"{start}: its strategy, {given.facts.strategy}, has several copies of them. Give a supernet with one."
        )
    own, others = weights.parameters[0], given.weights.parameters[0]
    if {name: one.shape for name, one in own.items()} != {name: one.shape for name, one in others.items()}:
        raise NasctlError(
            f"{start}: they are of other networks, or shared otherwise. Give --space {given.facts.space} and --share"
            f" {given.facts.share}, or another supernet."
        )
    with torch.no_grad():
        for copy in weights.parameters:
            for name, value in copy.items():
                value.copy_(others[name])
    weights.visits[:] = given.weights.visits[0]
    if isinstance(strategy, StartsFromSupernet):
        _hand_over(given, strategy, start)
    return f"begins with the weights of the supernet {given.name}"


def _hand_over(given: TrainedSupernet, strategy: StartsFromSupernet, start: str) -> None:
    """Tell a strategy what the strategy of the given supernet has learned."""
    if isinstance(given.strategy, ScoresGenomes):
        raise NasctlError(
            f"{start}: its strategy, {given.facts.strategy}, trains no classifier. Give another supernet."
        )
    context = TrainingContext(given.weights.hull, given.facts.seed, given.facts.steps)
    summed = isinstance(given.space, MixableSpace)  # and then all weights are used
    if not (given.weights.visits[0].all() if summed else given.weights.is_trained(context.largest)):
        raise NasctlError(f"{start}: no step of its training has reached some of them. Train it for longer.")
    learned = given.strategy
    sliced = isinstance(learned, MixesSlices) and learned.mixes_slices
    if isinstance(learned, LearnsChoices):
        strategy.begin_with(distribution_of(given), learned.chosen(), sliced)
    else:
        strategy.begin_with((), None, sliced)


__all__ = ["begin_with_supernet"]

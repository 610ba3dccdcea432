"""Weights that a supernet's training starts from: those of one trained network, in the slots of its slices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

import torch
from torch import Tensor, nn

from nasctl.errors import NasctlError
from nasctl.problem.space import Genome
from nasctl.problem.strategy import MixesCopies, StartsFromSupernet, StartsFromWeights, Strategy
from nasctl.supernets.elastic_networks import ElasticNetworks
from nasctl.supernets.hull import Cut
from nasctl.supernets.problem import SupernetProblem
from nasctl.supernets.shared_weights import SharedWeights
from nasctl.training.trainable import learner, trainable

Fitted = Callable[[Genome, Sequence[Tensor]], tuple[Tensor, ...]]  # inputs at the resolution of a genome's network


def begin(
    problem: SupernetProblem, strategy: Strategy, weights: SharedWeights, largest: Genome, fitted: Fitted
) -> Callable[[Sequence[Tensor]], Tensor] | None:
    """Copy the weights that a training starts from into the slots of every copy of the shared weights.

    Slots and parts of slots that the given network does not use keep their drawn values.

    Args:
        problem: The problem. Without a `start`, weights stay as they are drawn.
        strategy: The strategy.
        weights: The shared weights.
        largest: The genome of the given network if the problem names none.
        fitted: Scales inputs to the resolution of a genome's network.

    Returns:
        The given network as a function of the inputs of a batch, without gradients and with its own statistics of
        norms, if the strategy learns from its outputs; None otherwise.

    Raises:
        NasctlError: The strategy needs given weights, and the problem has none or lacks those of a layer; or it cannot
            begin with those of the given supernet.
        DoesNotFit: The supernet has no place for the weights.
    """
    if problem.start_supernet is not None:
        problem.start_supernet(strategy, weights)
        return None
    if isinstance(strategy, StartsFromSupernet):
        raise _lacks(problem, "supernet")
    if problem.start is None:
        if isinstance(strategy, StartsFromWeights):
            raise _lacks(problem, "network")
        return None
    genome = largest if problem.start_genome is None else problem.start_genome
    _check_start(problem, strategy, genome, largest)
    teaches = isinstance(strategy, StartsFromWeights) and strategy.start_teaches
    module = _given(problem, weights.networks, genome, teaches)
    write(weights, genome, module)
    if not teaches:
        return None
    module.eval()

    @torch.no_grad()
    def outputs(inputs: Sequence[Tensor]) -> Tensor:
        found: Tensor = module(*fitted(genome, inputs))
        return found

    return outputs


def _lacks(problem: SupernetProblem, wanted: str) -> NasctlError:
    """Return the error for a strategy that has not the weights which it needs.

    Args:
        problem: The problem.
        wanted: What the weights should be of: "network" or "supernet".
    """
    given = "from drawn weights" if problem.start is None else "from the weights of one network"
    return NasctlError(
        f"Cannot train a supernet by {problem.strategy.partition(':')[0]} {given}: it trains a trained {wanted}"
        " further. Give the weights of one (--from), or choose another strategy."
    )


def _check_start(problem: SupernetProblem, strategy: Strategy, genome: Genome, largest: Genome) -> None:
    """Raise a `NasctlError` if a strategy cannot begin with the weights of a genome."""
    if isinstance(strategy, MixesCopies):
        raise NasctlError(
            f"Cannot begin {problem.strategy.partition(':')[0]} with given weights: equal copies stay equal, and mix"
            " nothing. Begin with drawn weights, or choose another strategy."
        )
    if isinstance(strategy, StartsFromWeights) and genome != largest:
        raise NasctlError(
            f"Cannot make this network elastic by {problem.strategy.partition(':')[0]}: it is not the largest of the"
            f" space, whose genome is {','.join(map(str, largest))}. Train that one first."
        )


@torch.no_grad()
def write(weights: SharedWeights, genome: Genome, module: nn.Module) -> None:
    """Copy the parameters of a network's module into its slices of every copy of the shared weights."""
    given = dict(module.named_parameters(remove_duplicate=False))
    for own in weights.parameters:
        for parameter, slot, cut in weights.hull.cuts(genome):
            _write_slice(own[slot], cut, given[parameter].detach())


def _write_slice(slot: Tensor, cut: Cut | None, value: Tensor) -> None:
    """Write a value into a slice of a slot; an axis of the slice may consist of several parts of the slot's axis."""
    if cut is None:
        slot.copy_(value)
        return
    axes = []
    for parts in cut:
        ends = [sum(length for _, length in parts[: k + 1]) for k in range(len(parts))]
        places = [slice(end - length, end) for end, (_, length) in zip(ends, parts, strict=True)]
        axes.append([(slice(start, start + length), at) for (start, length), at in zip(parts, places, strict=True)])
    for corner in product(*axes):
        slot[tuple(into for into, _ in corner)] = value[tuple(at for _, at in corner)]


def _given(problem: SupernetProblem, networks: ElasticNetworks, genome: Genome, teaches: bool) -> nn.Module:
    """Return the task's module of a genome with the given weights.

    Raises:
        NasctlError: The module is to teach, and a layer has the weights that were drawn for it.
    """
    data, network = problem.data, networks.space.network(genome)
    classes = None if data.class_names is None else len(data.class_names)
    wanted = networks.input_of(network)
    body = trainable(network, wanted, data.task, classes, problem.seed)
    drawn = {name: one.detach().clone() for name, one in body.named_parameters() if one.ndim > 1} if teaches else {}
    assert problem.start is not None
    problem.start(body)
    for name, before in drawn.items():
        if torch.equal(before, body.get_parameter(name)):  # such as a classifier of other classes
            raise NasctlError(
                f"Cannot let the given network teach: it has no weights of {name}, perhaps because its classes are"
                " others. Give a network of these classes, or let the largest network teach: teacher=largest."
            )
    made = learner(network, body, wanted, data.task, problem.seed)
    if teaches and made is not body:
        raise NasctlError(
            f"Cannot let the given network teach: it has no head for {data.task}. Let the largest network teach:"
            " teacher=largest."
        )
    return made.to(problem.device)


__all__ = ["begin", "write"]

"""Single networks of a trained supernet: the check that an architecture is one of them, and its state dict."""

from __future__ import annotations

from torch import Tensor

from nasctl.errors import NasctlError
from nasctl.networks.graph import Network
from nasctl.networks.node import Node, Shape
from nasctl.networks.weights import initialised
from nasctl.problem.space import Genome, SearchSpace
from nasctl.supernets.trained_supernet import TrainedSupernet


def space_difference(supernet: TrainedSupernet, space: SearchSpace) -> str:
    """Return how a space differs from that of a supernet; "" if a genome is one network in both, but for its classes.

    Compared are genes, inputs, and the networks of the first and the last choices of all genes.
    """
    own = supernet.space
    if [(gene.name, gene.choices) for gene in space.genes] != [(gene.name, gene.choices) for gene in own.genes]:
        return "has other genes"
    if space.input != own.input:
        return "has another input"
    genomes = [space.canonical((0,) * len(space.genes))]
    genomes.append(space.canonical(tuple(len(gene.choices) - 1 for gene in space.genes)))
    same = all(same_but_classes(own.network(own.canonical(one)), space.network(one)) for one in genomes)
    return "" if same else "has other networks"


def same_but_classes(first: Network, second: Network) -> bool:
    """Return whether two networks are equal, apart from the number of their outputs."""
    if first == second:
        return True
    if len(first.nodes) != len(second.nodes) or first.input_shapes != second.input_shapes:
        return False
    ends = first.out_shape, second.out_shape
    return first.output == second.output and all(
        _same_node(one, other, ends) for one, other in zip(first.nodes, second.nodes, strict=True)
    )


def _same_node(one: Node, other: Node, ends: tuple[Shape, Shape]) -> bool:
    """Return whether two nodes are equal, or differ in shapes that are those of the networks' outputs alone."""
    if one == other:
        return True
    shapes = [*zip(one.in_shapes, other.in_shapes, strict=False), (one.out_shape, other.out_shape)]
    wiring = (one.name, one.inputs, type(one.layer)) == (other.name, other.inputs, type(other.layer))
    differs = [pair for pair in shapes if pair[0] != pair[1]]
    return wiring and bool(differs) and all(pair == ends for pair in differs)


def check_space(supernet: TrainedSupernet, space: SearchSpace, spec: str) -> None:
    """Raise a `NasctlError` unless the architectures of a space are networks of a supernet.

    Args:
        supernet: The supernet.
        space: The space.
        spec: Its spec, for the message.
    """
    if difference := space_difference(supernet, space):
        raise NasctlError(
            f"Cannot take networks of {spec} out of the supernet {supernet.name}: it was trained on"
            f" {supernet.facts.space}, and this space {difference}. Give --space {supernet.facts.space}."
        )


def subnet_state(supernet: TrainedSupernet, genome: Genome) -> dict[str, Tensor]:
    """Return the state dict of a network with its slices of the shared weights and calibrated statistics.

    The keys are those of the module of the network. Weights that the supernet's task does not train, such as the
    classifier of an encoder that learned masked words, have the initial values of the supernet's seed.

    Args:
        supernet: The supernet.
        genome: A canonical genome.

    Raises:
        DoesNotFit: The supernet has no place for the weights.
        UntrainedWeights: No step has trained some of the weights.
    """
    trained = supernet.module(genome).state_dict()
    prefix = supernet.weights.networks.prefix
    own = {key.removeprefix(prefix): value for key, value in trained.items() if key.startswith(prefix)}
    initial = initialised(supernet.space.network(genome), supernet.facts.seed).state_dict()
    return {key: own.get(key, value).detach().clone() for key, value in initial.items()}


__all__ = ["check_space", "same_but_classes", "space_difference", "subnet_state"]

"""Comparison of masked networks with the networks of single choices, on random weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod

import torch
from torch import Tensor, nn
from torch.func import functional_call

from nasctl.problem.space import Genome
from nasctl.supernets.hull import Hull, sliced
from nasctl.supernets.masked_network import MaskedNetwork, Weights

EXAMPLES = 4

TOLERANCE = 1e-7  # of distances; those by rounding in float64 are below 1e-11

GAIN = 1.5  # standard deviation of outputs of a layer over that of its inputs

Masked = Callable[[Weights, Mapping[int, Tensor]], MaskedNetwork]  # of shared weights, and factors of choices


class SliceTrial:
    """Random weights and examples in float64, with which networks are compared.

    Weights are larger than initial ones, so that products such as attention scores differ, and shifts of norms are not
    zero.

    Args:
        hull: The shared weights.
        base: Genome of a network with the resolution of the examples.
    """

    def __init__(self, hull: Hull, base: Genome) -> None:
        self._hull = hull
        generator = torch.Generator().manual_seed(0)

        def drawn(shape: Sequence[int]) -> Tensor:
            return torch.randn(tuple(shape), generator=generator, dtype=torch.float64)

        self.weights = {
            name: drawn(slot.shape) * (GAIN / prod(slot.shape[1:]) ** 0.5 if len(slot.shape) > 1 else 0.5)
            for name, slot in hull.slots.items()
        }
        networks = hull.networks
        shape, read = networks.space.network(base).input_shapes[0], networks.space.input
        if read.kind == "images":
            self.inputs: tuple[Tensor, ...] = (drawn((EXAMPLES, *shape)),)
        else:
            words = torch.randint(read.vocabulary or 1, (EXAMPLES, *shape), generator=generator)
            hidden = torch.arange(shape[0]).expand(EXAMPLES, -1) % 3 == 0
            self.inputs = (words,) if networks.task == "classes" else (words, hidden)

    def agrees(self, masked: Masked, genome: Genome, choices: Mapping[int, int]) -> bool:
        """Return whether masks of single choices give the outputs of a genome's network.

        Args:
            masked: Returns the masked network.
            genome: The genome.
            choices: The choices, by gene.
        """
        return self.distance(masked, genome, choices) <= TOLERANCE

    @torch.no_grad()
    def distance(self, masked: Masked, genome: Genome, choices: Mapping[int, int]) -> float:
        """Return the distance of both outputs over the spread of the genome's; see `agrees`."""
        networks, genes = self._hull.networks, self._hull.networks.space.genes
        factors = {g: torch.eye(len(genes[g].choices), dtype=torch.float64)[choice] for g, choice in choices.items()}
        views = {name: sliced(self.weights[slot], cut) for name, slot, cut in self._hull.cuts(genome)}
        module = networks.module(genome)
        with _evaluating(module):
            expected = functional_call(module, {**_constants(module), **views}, self.inputs)
        made = masked(self.weights, factors)
        with _evaluating(made.module):
            exact = MaskedNetwork(
                made.network, made.module, made.slots, {**_constants(made.module), **made.views}, made.channels
            )
            found = exact.outputs(self.inputs)
        distance = (found - expected).norm() / (expected - expected.mean(0)).norm()
        return float(distance) if distance.isfinite() else float("inf")


def _constants(module: nn.Module) -> dict[str, Tensor]:
    """Return the constants of a module in float64."""
    return {name: one.double() for name, one in module.named_buffers() if one.is_floating_point()}


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Let a module be in evaluation mode inside the block, so that nothing is dropped at random."""
    training = [one for one in module.modules() if one.training]
    module.eval()
    try:
        yield
    finally:
        for one in training:
            one.training = True


__all__ = ["SliceTrial"]

"""One sampled choice of each gene in each step, learned through the gradient of a Gumbel softmax."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from torch import Tensor

from nasctl.api import Pass, StepBatch, StepNetworks, StrategyContext
from nasctl.supernets.strategies._alphas import gradients
from nasctl.supernets.strategies._mixing import MixedChoices

__all__ = ["GumbelSearch"]


class GumbelSearch(MixedChoices):
    """Train one network a step, whose choices are drawn from learned probabilities.

    In each step, a network trains on half of the batch, and another one on the other half changes the parameters of
    choices. The output of a choice that is drawn has the factor 1, and the gradient of the softmax of parameters plus
    Gumbel noise over a temperature, which falls linearly from 10 to 0.1. A step costs two networks, where a mixture of
    all choices costs as many operations as there are choices.

    The genome that is chosen has the choice with the largest parameter of each gene. With `select=perturbation`, genes
    are decided one by one in the last third of the steps, by the loss without each choice (DARTS-PT). These steps train
    the mixture of all choices that are left, with the probabilities as factors, and cost as much as those of `darts`.

    Departures: choices that are not drawn add no gradient of their own. The authors' code adds their factors, as
    constants of value 0, to the output of the edge.

    Args:
        rate: Learning rate of the parameters of choices.
        decay: Weight decay of the parameters of choices.
        select: "argmax" or "perturbation".

    References:
        Dong & Yang, "Searching for a robust neural architecture in four GPU hours", CVPR 2019, arXiv:1910.04465,
        equations 3 to 7. Wang et al., "Rethinking architecture selection in differentiable NAS" (DARTS-PT), ICLR 2021,
        arXiv:2108.04392.
    """

    later_options = frozenset({"select"})  # trainings from before it was an option keep their names

    def __init__(
        self, context: StrategyContext, rate: float = 3e-4, decay: float = 1e-3, select: str = "argmax"
    ) -> None:
        super().__init__(context, "gdas", rate, decay, select)

    def passes(self, step: int) -> Sequence[Pass]:
        if self._removal is not None:
            self._removal.check()
            if self._removal.begun(step):
                return (Pass((self.chosen(),)),)
        leaves = [one.detach() for one in self.alphas.leaves()]
        path = self._path(self.alphas.factors(leaves, self._context.rng(step), step / self._context.steps))
        genome = self._context.space.canonical(path)
        return (Pass((genome if self._context.holds(genome) else self.chosen(),)),)

    def losses(self, step: int, passes: Sequence[Pass], batch: StepBatch, networks: StepNetworks) -> Iterator[Tensor]:
        own, other = batch.halves()
        if (settled := self.settled_loss(step, own, other, networks)) is not None:
            yield settled
            return
        rng, inputs = self._context.rng(step), own.inputs()
        leaves = self.alphas.leaves()
        trained = self._path(self.factors(leaves, step, rng, inputs[0]))  # the network of `passes`
        factors = self.factors(leaves, step, rng, inputs[0])
        drawn = self._path(factors)
        gates = {place: one[drawn[place], None] for place, one in factors.items()}
        loss = other.loss(networks.mixed([(choice,) for choice in drawn], gates, other.inputs(), frozen=True))
        self.alphas.updated(gradients(loss, leaves), other.size, networks)
        # With gates too, because a space may build the network of a genome that is not canonical in another order.
        ones = {place: inputs[0].new_ones(1) for place in factors}
        yield own.loss(networks.mixed([(choice,) for choice in trained], ones, inputs))

    def _path(self, factors: Mapping[int, Tensor]) -> tuple[int, ...]:
        """Return the choice of each gene that factors pick; a gene with one choice has no factors."""
        return tuple(int(factors[place].argmax()) if place in factors else 0 for place in range(len(self.allowed)))

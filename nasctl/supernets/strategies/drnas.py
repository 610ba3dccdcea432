"""Factors of mixed choices that are drawn from learned Dirichlet distributions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.distributions import Dirichlet, kl_divergence
from torch.nn.functional import elu

from nasctl.api import BadOption, Pass, StepBatch, StepNetworks, StrategyContext
from nasctl.supernets.strategies._alphas import gradients
from nasctl.supernets.strategies._mixing import MixedChoices

__all__ = ["DirichletSearch"]


class DirichletSearch(MixedChoices):
    """Train the mixture of all choices, with factors that are drawn from a Dirichlet distribution for each gene.

    The concentrations are elu(parameter) + 1, so all are nearly 1 at first. In each step, half of the batch changes
    the parameters through the draw, and the other half the weights, with a draw of its own.

    The genome that is chosen has the choice with the largest concentration of each gene. With `select=perturbation`,
    genes are decided by the loss without each choice, as in the strategy darts.

    Departures: all channels go through the operations, and no choices are removed during the training (the partial
    channels and the progressive stages of the paper). Norms have gains and shifts.

    Args:
        rate: Learning rate of the parameters of choices.
        decay: Weight decay of the parameters of choices, which draws concentrations to 1.
        kl: Factor of the Kullback-Leibler divergence from the uniform Dirichlet distribution, which is added to the
            loss for choices. The paper derives it; the authors' code uses the weight decay in its place by default.
        select: "argmax" or "perturbation".

    References:
        Chen et al., "DrNAS: Dirichlet neural architecture search", ICLR 2021, arXiv:2006.10355, sections 2.2 and 2.3;
        `201-space` of github.com/xiangning-chen/DrNAS.
    """

    def __init__(
        self,
        context: StrategyContext,
        rate: float = 3e-4,
        decay: float = 1e-3,
        kl: float = 0.0,
        select: str = "argmax",
    ) -> None:
        if not kl >= 0:
            raise BadOption(f"Cannot use drnas with kl={kl:g}. Give 0 or more.")
        super().__init__(context, "drnas", rate, decay, select)
        self._kl = kl

    def losses(self, step: int, passes: Sequence[Pass], batch: StepBatch, networks: StepNetworks) -> Iterator[Tensor]:
        own, other = batch.halves()
        if (settled := self.settled_loss(step, own, other, networks)) is not None:
            yield settled
            return
        rng, like = self._context.rng(step), own.inputs()[0]
        leaves = self.alphas.leaves()
        loss = self.mixed(networks, self.factors(leaves, step, rng, like), other, frozen=True)
        if self._kl:
            loss = loss + self._kl * torch.stack([_divergence(one) for one in leaves if len(one) > 1]).sum().to(loss)
        leaves = self.alphas.updated(gradients(loss, leaves), other.size, networks)
        yield self.mixed(networks, self.factors(leaves, step, rng, like), own)


def _divergence(parameters: Tensor) -> Tensor:
    """Return the divergence, (), of a gene's distribution from the uniform one."""
    concentrations = elu(parameters) + 1
    return kl_divergence(Dirichlet(concentrations), Dirichlet(torch.ones_like(concentrations)))

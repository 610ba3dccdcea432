"""A bandit for each gene: multi-agent search by EXP3."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nasctl.api import ChoiceBandit, Genome, Problem
from nasctl.searchers._policy_search import PolicySearch

__all__ = ["Manas"]


class Manas(PolicySearch):
    """A bandit for each gene (MANAS), which learns from the loss of whole genomes and from nothing else.

    A genome's loss is the share of the genomes evaluated so far that are better, the mean over the objectives, so that
    it is from 0 to 1 as the theory of EXP3 asks. Genomes that break a constraint are worse than all others, and failed
    ones are the worst. A genome that is drawn again is not evaluated again, unless `published` is set: the bandits
    learn from its known losses.

    With several objectives the search converges to one compromise between them, not to a front.

    Args:
        problem: Search space, objectives and constraints.
        rng: Source of all randomness.
        eta: Learning rate; 0 for sqrt(ln K / (t K)) in round t, for a gene with K choices.
        estimate: "weighted" for losses divided by their probability (EXP3), "ridge" for least squares of the losses on
            the choices of all genes (MANAS-LS).
        zipf: Draw the choice of rank r with a probability in proportion to 1/r.
        batch: Genomes that are drawn before the bandits learn.
        published: Allow a network to be proposed again.

    References:
        Carlucci et al., "MANAS: multi-agent neural architecture search", arXiv:1909.01051.
    """

    def __init__(
        self,
        problem: Problem,
        rng: np.random.Generator,
        eta: float = 0.0,
        estimate: str = "weighted",
        zipf: bool = False,
        batch: int = 1,
        published: bool = False,
    ) -> None:
        counts = [len(gene.choices) for gene in problem.space.genes]
        bandit = ChoiceBandit(counts, None, eta, estimate, zipf)
        super().__init__(problem, rng, _BanditPolicy(bandit, rng), batch, published, "manas")


class _BanditPolicy:
    """The policy of bandits; see `Policy`."""

    def __init__(self, bandit: ChoiceBandit, rng: np.random.Generator) -> None:
        self._bandit, self._rng = bandit, rng

    def draw(self, number: int) -> list[Genome]:
        return [self._bandit.draw(self._rng) for _ in range(number)]

    def learn(self, genomes: Sequence[Genome], losses: Sequence[float]) -> None:
        self._bandit.learn(genomes, losses)

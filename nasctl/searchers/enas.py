"""A recurrent controller that draws genomes gene by gene, trained by REINFORCE."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nasctl.api import ChoiceController, ControllerOptions, Genome, Problem
from nasctl.searchers._policy_search import PolicySearch

__all__ = ["Enas"]


class Enas(PolicySearch):
    """An LSTM that draws genomes gene by gene (the controller of ENAS), trained by REINFORCE.

    A genome's reward is the share of the genomes evaluated so far that are worse, the mean over the objectives. Genomes
    that break a constraint are worse than all others, and failed ones are the worst. A genome that is drawn again is
    not evaluated again, unless `published` is set: the controller learns from its known losses.

    With several objectives the search converges to one compromise between them, not to a front.

    Args:
        problem: Search space, objectives and constraints.
        rng: Source of all randomness.
        memory: Train the hidden state to tell the choices of genomes drawn before (Adam & Lorraine).
        buffer: Genomes that the memory holds.
        hidden: Units of the LSTM.
        rate: Learning rate of Adam.
        entropy: Weight of the entropy.
        decay: Share of the old baseline in the moving average of rewards.
        batch: Genomes that are drawn before the controller learns.
        published: Allow a network to be proposed again.

    References:
        Pham et al., "Efficient neural architecture search via parameter sharing", ICML 2018, arXiv:1802.03268. Adam &
        Lorraine, "Understanding neural architecture search techniques", arXiv:1904.00438.
    """

    def __init__(
        self,
        problem: Problem,
        rng: np.random.Generator,
        memory: bool = False,
        buffer: int = 1000,
        hidden: int = 64,
        rate: float = 0.0035,
        entropy: float = 1e-4,
        decay: float = 0.95,
        batch: int = 10,
        published: bool = False,
    ) -> None:
        options = ControllerOptions(hidden, rate, entropy, decay, memory, buffer)
        counts = [len(gene.choices) for gene in problem.space.genes]
        controller = ChoiceController(counts, int(rng.integers(2**31)), options)
        super().__init__(problem, rng, _ControllerPolicy(controller, rng), batch, published, "enas")


class _ControllerPolicy:
    """The policy of a controller; see `Policy`."""

    def __init__(self, controller: ChoiceController, rng: np.random.Generator) -> None:
        self._controller, self._rng = controller, rng

    def draw(self, number: int) -> list[Genome]:
        return self._controller.draw(self._rng, number)

    def learn(self, genomes: Sequence[Genome], losses: Sequence[float]) -> None:
        self._controller.learn(genomes, [1 - loss for loss in losses], self._rng)

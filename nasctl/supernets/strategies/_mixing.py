"""Parameters of choices that strategies learn through networks which mix choices, their history and their updates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from nasctl.api import BadOption, Genome, MixableSpace, Pass, StepBatch, StepNetworks, StrategyContext
from nasctl.supernets.strategies._alphas import Alphas
from nasctl.supernets.strategies._choices import ChoiceHistory, loss_of_chance, most_probable_genome
from nasctl.supernets.strategies._selection import removal_of


class MixedChoices:
    """Parameters of choices that are learned from the losses of networks which mix or gate choices.

    The parameters change on the half of the training examples that the weights are not learned from. An update takes
    effect in the step itself, and enters `arrays` in `told`, so that a step which is not completed changes nothing.

    Args:
        context: The training.
        method: How parameters become factors; see `Alphas`.
        rate: Learning rate of the parameters, which Adam changes.
        decay: Their weight decay.
        select: How the genome is selected: "argmax", or "perturbation" in the last third of the steps.
        fixed: Whether all choices keep equal factors, so that only the selection decides.

    Raises:
        BadOption: An option makes no sense, or the space has no networks that mix choices.
    """

    splits_examples = True

    def __init__(
        self,
        context: StrategyContext,
        method: str,
        rate: float,
        decay: float,
        select: str = "argmax",
        fixed: bool = False,
    ) -> None:
        if not isinstance(context.space, MixableSpace):
            raise BadOption(
                f"Cannot learn choices by {method}: this space has no networks that mix several choices of a gene. Give"
                " a space that has, such as nb201, or another strategy."
            )
        self._context, self.alphas = context, Alphas(context, method, rate, decay)
        self._removal, self._fixed = removal_of(context, select), fixed
        if fixed:
            self.alphas.arrays["alphas"][...] = 0
        self._history = ChoiceHistory(self.alphas.counts, context.steps)
        self._history.note(-1, self.probabilities)
        self.chance = loss_of_chance(context)
        self.allowed = [tuple(range(count)) for count in self.alphas.counts]

    def passes(self, step: int) -> Sequence[Pass]:
        if self._removal is not None:
            self._removal.check()  # not when it is made, since the weights of early trainings are loaded too
        return (Pass((self.chosen(),)),)

    def told(self, step: int, losses: Sequence[float], norms: Sequence[float]) -> None:
        self.alphas.settle()
        if self._removal is not None:
            self._removal.told(step, self.alphas.probabilities())
        self._history.note(step, self.probabilities)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        own = {} if self._removal is None else self._removal.arrays
        return {**self.alphas.arrays, **own, "history": self._history.array}

    def probabilities(self) -> list[np.ndarray]:
        found = self.alphas.probabilities()
        return found if self._removal is None else self._removal.distribution(found)

    def chosen(self) -> Genome:
        """Return the genome of the choice with the largest parameter of each gene, as far as none is decided."""
        return most_probable_genome(self._context, self.probabilities())

    def factors(self, leaves: Sequence[Tensor], step: int, rng: np.random.Generator, like: Tensor) -> dict[int, Tensor]:
        """Return the factors of the choices of each gene that has several, on the device of a tensor."""
        return self.alphas.factors(leaves, rng, step / self._context.steps, like.device)

    def mixed(
        self, networks: StepNetworks, factors: Mapping[int, Tensor], batch: StepBatch, frozen: bool = False
    ) -> Tensor:
        """Return the loss, (), of the network that mixes all choices, on the examples of a batch."""
        return batch.loss(networks.mixed(self.allowed, factors, batch.inputs(), frozen=frozen))

    def settled_loss(self, step: int, own: StepBatch, other: StepBatch, networks: StepNetworks) -> Tensor | None:
        """Return the loss of the weights in a step that learns no parameters of choices; None in any other step.

        Parameters are fixed while genes are decided, and factors are the expected ones.

        Args:
            step: The step.
            own: The examples that the weights learn from.
            other: The examples that genes are decided by.
            networks: The networks of the step.
        """
        removal = self._removal if self._removal is not None and self._removal.begun(step) else None
        if removal is None and not self._fixed:
            return None
        like = own.inputs()[0]
        expected = [torch.tensor(one, dtype=torch.float32, device=like.device) for one in self.alphas.probabilities()]
        factors = {place: one for place, one in enumerate(expected) if len(one) > 1}
        if removal is None:
            return self.mixed(networks, factors, own)
        removal.measure(step, removal.summed(networks, factors, frozen=True), other, networks)
        return own.loss(removal.summed(networks, factors)(removal.allowed, own.inputs()))

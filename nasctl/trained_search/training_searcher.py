"""A searcher that trains what a predictor of the labels so far prefers; see `TrainingChoice`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from nasctl.prediction.training_choice import TrainingChoice
from nasctl.problem.space import Genome

# Genomes -> features, (N, F), and training-free scores, (N,)
Measure = Callable[[Sequence[Genome]], tuple[np.ndarray, np.ndarray]]


class TrainingSearcher:
    """A searcher whose every candidate is trained. Its first objective is the label.

    Args:
        choice: Chooses the networks to train. It has the candidates of the training-free search already.
        measure: Measures the networks that the choice proposes.
        errors: Function that returns the standard errors of the labels of trained networks, (N,), NaN where unknown.
    """

    def __init__(
        self, choice: TrainingChoice, measure: Measure, errors: Callable[[Sequence[Genome]], np.ndarray]
    ) -> None:
        self._choice, self._measure, self._errors = choice, measure, errors
        self._asked: list[Genome] = []

    def ask(self) -> list[Genome]:
        """Return the networks to train next; none if the budget is spent."""
        if fresh := self._choice.proposals():
            self._choice.add(fresh, *self._measure(fresh))
        self._asked = self._choice.ask()
        return list(self._asked)

    def tell(self, losses: np.ndarray, violations: np.ndarray) -> None:
        """Learn the labels of the last ask.

        Args:
            losses: Losses, (B, M); the first column is the negative label, or a loss. NaN where a training failed.
            violations: Constraint violations, (B, C). The choice knows those of costs, and no other is possible.
        """
        self._choice.tell(-losses[:, 0], self._errors(self._asked))

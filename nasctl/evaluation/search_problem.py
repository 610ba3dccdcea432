"""The search problem that a searcher sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nasctl.candidates.objective import closed_form
from nasctl.evaluation.measure import measure
from nasctl.evaluation.task import Task
from nasctl.pareto.losses import losses, violations
from nasctl.problem.mixture import Mixture
from nasctl.problem.searcher import Goal
from nasctl.problem.space import Genome, SearchSpace
from nasctl.registry.old_names import OldProblemNames
from nasctl.store.measurements import evaluation


class SearchProblem(OldProblemNames):
    """The part of a task that a searcher sees; implements `Problem`, `HasStartingGenomes` and `MixtureProblem`.

    Objectives and constraints that need no module are computed on request, free of budget.

    Args:
        task: The task of the run.
        starting_genomes: Different canonical genomes that the search begins with.
    """

    def __init__(self, task: Task, starting_genomes: Sequence[Genome] = ()) -> None:
        self._task, self._starting_genomes = task, tuple(starting_genomes)

    @property
    def space(self) -> SearchSpace:
        """The search space."""
        return self._task.space

    @property
    def objectives(self) -> tuple[Goal, ...]:
        """The objectives, (M,)."""
        return self._task.objectives

    @property
    def starting_genomes(self) -> tuple[Genome, ...]:
        """See `HasStartingGenomes`."""
        return self._starting_genomes

    def cheap_losses(self, genomes: Sequence[Genome]) -> np.ndarray:
        """See `Problem`. The values are not stored: computing them is faster than reading them."""
        cheap = {goal.name: goal.name for goal in self.objectives if goal.cost == "network"}
        found = [evaluation(genome, cheap, measure(self._task, genome, cheap)) for genome in genomes]
        return losses(found, self.objectives)

    def violation(self, genomes: Sequence[Genome]) -> np.ndarray:
        """See `Problem`. The values are not stored."""
        task = self._task
        bounded = [constraint for constraint in task.constraints if closed_form(task.metrics[constraint.name])]
        names = {constraint.name: constraint.name for constraint in bounded}
        found = [evaluation(genome, names, measure(task, genome, names)) for genome in genomes]
        return np.asarray(violations(found, bounded).sum(axis=1))

    def evaluate_mixture(self, allowed: Sequence[Sequence[int]]) -> np.ndarray:
        """See `MixtureProblem`. The measurement is free of budget and not stored, so a replay measures it again."""
        names = {goal.name: goal.name for goal in self.objectives}
        mixed = replace(self._task, space=Mixture(self.space, allowed))
        found = measure(mixed, (), names)
        return np.asarray(losses([evaluation((), names, found)], self.objectives)[0])

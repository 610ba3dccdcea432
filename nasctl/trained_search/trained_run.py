"""The run that trains networks, after a training-free run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from nasctl.analysis.run_scores import scores_of_run, stored_sizes
from nasctl.analysis.score import score_genomes
from nasctl.candidates.objective import closed_form
from nasctl.errors import NasctlError
from nasctl.evaluation.executor import Executor
from nasctl.evaluation.measure import LocalExecutor
from nasctl.evaluation.search_problem import SearchProblem
from nasctl.evaluation.task import Task
from nasctl.pareto.losses import losses, violations
from nasctl.prediction.features import FeatureBuilder
from nasctl.prediction.training_choice import VERSION, TrainingChoice, TrainingPlan
from nasctl.problem.searcher import Searcher
from nasctl.problem.space import Genome
from nasctl.search.run import Run
from nasctl.store.store import Store
from nasctl.store.training_table import TrainingRecord
from nasctl.trained_search.training_searcher import TrainingSearcher
from nasctl.training.candidate_training import CandidateTraining
from nasctl.training.few_examples import few_examples_note
from nasctl.training.image_notes import flip_notes, guessing_note
from nasctl.training.labelled import TrainingData
from nasctl.training.training import Training, check_trainable

SEARCHER = "trainings"  # the searcher's name in the record of a run


@dataclass(frozen=True)
class TrainedRun(Run):
    """A run that trains the networks that a predictor of the labels so far prefers.

    Its first objective is `trained`; the others are the costs of the training-free run.

    Args:
        first: The training-free run, which is finished.
        how: How networks are trained.
        trainings: Number of networks to train.
        measurements: Number of networks whose metrics may be measured, those of the training-free run included.
        open_metrics: Opens the executor that measures the metrics of proposed networks; this process by default.
        choice: Version of the choice of trainings; see `nasctl.prediction.training_choice.VERSION`.
    """

    first: Run = field(default_factory=lambda: Run("", ()))
    how: CandidateTraining = field(default_factory=CandidateTraining)
    trainings: int = 1
    measurements: int = 1
    open_metrics: Callable[[Task], AbstractContextManager[Executor]] = field(
        default=lambda task: nullcontext(LocalExecutor(task)), compare=False
    )
    choice: int = VERSION

    @classmethod
    def after(cls, first: Run, how: CandidateTraining, trainings: int, measurements: int) -> TrainedRun:
        """Return the run that trains networks after a training-free run.

        Args:
            first: The training-free run.
            how: How networks are trained.
            trainings: Number of networks to train.
            measurements: Number of networks whose metrics may be measured, those of the training-free run included.

        Raises:
            NasctlError: The first run minimises no cost, or there are more trainings than networks.
        """
        if trainings > measurements:
            raise NasctlError(
                f"Cannot train {trainings} networks of {measurements} that are measured. Give --budget {trainings} or"
                " more, or fewer --trainings."
            )
        costs = [goal.name for goal in first.task.objectives if goal.cost == "network"]
        if not costs:
            raise NasctlError("Cannot choose what to train without a cost. Give one, such as --objective macs.")
        costs = [text for name in costs for text in first.objectives if _is_named(text, name, first.space)]
        called = f"{first.called}-trained" if first.called else ""
        return cls(
            **{
                name: getattr(first, name)
                for name in ("space", "searcher", "seed", "constraints", "options", "trained_for")
            },
            # Draws of weights are averaged for metrics. A network is trained once.
            setting=replace(first.setting, fidelity=replace(first.setting.fidelity, repeats=1)),
            objectives=(how.objective("loss" if first.task.space.input.kind == "tokens" else "accuracy"), *costs),
            called=called,
            first=first,
            how=how,
            trainings=trainings,
            measurements=measurements,
        )

    @cached_property
    def asked(self) -> dict[str, Any]:
        """The question of the run as JSON has it, with that of the training-free run."""
        own: dict[str, Any] = Run.asked.func(self)  # type: ignore[attr-defined]
        keys = ("objectives", "record", "searcher", "references")
        first = {key: self.first.asked[key] for key in keys if key in self.first.asked}
        return {
            **own,
            "searcher": SEARCHER,
            "recipe": self.how.recipe_for(self.data.task).digest,  # the file of a recipe may change
            "trainings": self.trainings,
            "measurements": self.measurements,
            "first": first,
            # Runs of version 1 have no such key, and keep their names.
            **({"choice": self.choice} if self.choice > 1 else {}),
        }

    def as_begun(self, store: Store) -> TrainedRun:
        """Return the run with the recipe and the version of the choice that the store has begun it with.

        A run that the store has not begun gets the recipe of `CandidateTraining.for_examples`.

        Args:
            store: The store, which may hold the run from an earlier version of nasctl.
        """
        asked = {one.name: one.record.asked for one in store.runs()}
        how = self.how.for_examples(self.data.task, self.data.size("train"))
        today = self
        if how != self.how:
            fitted = type(self).after(self.first, how, self.trainings, self.measurements)
            today = replace(fitted, open_metrics=self.open_metrics, choice=self.choice)
        for begun in (today,) if today is self else (today, self):
            for version in range(self.choice, 0, -1):
                run = replace(begun, choice=version)
                known = asked.get(run.name, {})  # a name that the user gave says nothing of version and recipe
                if known and (known.get("choice", 1), known.get("recipe")) == (version, run.asked["recipe"]):
                    return run
        return today

    @property
    def config(self) -> dict[str, Any]:
        """The options that repeat the search with its trainings: those of the training-free run, which have both."""
        return self.first.config

    def check(self, here: bool = True) -> list[str]:
        """Check that trainings can work, before anything is written.

        Args:
            here: Whether this process trains, so that the torch device is checked.

        Returns:
            No warnings: those about constraints are of the training-free run.

        Raises:
            NasctlError: The recipe cannot be read, the data has no labels, a part of it is empty, or networks of the
                space cannot be trained on it.
        """
        space = self.task.space
        check_trainable(self._training(space.canonical((0,) * len(space.genes))), self.data)
        return []

    @property
    def recipe_notes(self) -> list[str]:
        """Sentences for a user on what the recipe does to the data."""
        recipe = self.how.recipe_for(self.data.task)
        few = few_examples_note(recipe, self.data.task, self.data.size("train"))
        return [*filter(None, [few]), *flip_notes(self.data, recipe.flip, "A --recipe with the line 'flip = false'")]

    def guessing_note(self, record: TrainingRecord) -> str:
        """Return a clause if a training is no better than guessing on the validation part; "" otherwise."""
        result, counts = record.result.get("validation"), self.data.class_counts("validation")
        if result is None or counts is None or result.get("accuracy") is None:
            return ""
        return guessing_note("validation", result["accuracy"], result["error"], counts)

    @property
    def plan(self) -> TrainingPlan:
        """The budget of the choice of trainings."""
        return TrainingPlan(self.trainings, self.measurements, seed=self.seed, version=self.choice)

    @property
    def budget_sentences(self) -> list[str]:
        """The sentence on the networks that the training-free search leaves to the choice of trainings, if any."""
        if (later := self.measurements - self.plan.searched) <= 0:
            return []
        measured = f"this search measures {self.plan.searched:,} of the {self.measurements:,} networks of --budget"
        return [f"{measured}. Up to {later:,} more are measured between trainings, as their results suggest"]

    def _make_searcher(self, store: Store) -> Searcher:
        name, record = store.run(self.first.name)
        # With a larger budget the training-free run goes on. What it finds then is no part of this run.
        found = store.evaluations(name)[: self.plan.searched]
        problem = SearchProblem(self.first.task)
        broken = problem.violation([one.genome for one in found]) > 0  # the modules of these are not measured
        visited = [one for one, out in zip(found, broken.tolist(), strict=True) if not out]
        features = _Features(self, store, [one.genome for one in visited])
        cheap = [goal.cost == "network" for goal in problem.objectives]
        choice = TrainingChoice(
            self.task.space,
            features.builder.groups,
            lambda genomes: problem.cheap_losses(genomes)[:, cheap],
            self.plan,
            lambda genomes: problem.violation(genomes) + features.violation(genomes),
        )
        _, scores = scores_of_run(record, visited, None, stored_sizes(store, name, record)) or ("", {})
        genomes = [one.genome for one in visited]
        choice.add(genomes, features(genomes), np.array([scores.get(genome, np.nan) for genome in genomes]))
        return TrainingSearcher(
            choice,
            lambda fresh: (features(fresh), np.full(len(fresh), np.nan)),
            lambda trained: self.label_errors(store, trained),
        )

    def label_errors(self, store: Store, genomes: Sequence[Genome]) -> np.ndarray:
        """Return standard errors of the labels of trained networks, (N,), in the labels' unit; NaN where unknown."""
        scale = 100 if self.task.objectives[0].direction == "max" else 1  # accuracies are in per cent
        known = self.records(store, genomes)
        found = [known[genome].result["validation"]["error"] if genome in known else np.nan for genome in genomes]
        return scale * np.array(found)

    def records(self, store: Store, genomes: Sequence[Genome]) -> dict[Genome, TrainingRecord]:
        """Return the finished trainings of networks by genome, for those that have one."""
        names = {self.training_name(genome): genome for genome in genomes}
        rows = store.trainings(self.asked["space"])
        return {names[row.name]: row for row in rows if row.name in names and row.state == "finished"}

    def training_name(self, genome: Genome) -> str:
        """Return the name of the training of a network."""
        return self._training(genome).name

    def _training(self, genome: Genome) -> Training:
        return self.how.training(self.asked["space"], genome, self.data, self.task.setting)

    @cached_property
    def data(self) -> TrainingData:
        """The data that networks are trained on."""
        space = self.task.space
        network = space.network(space.canonical((0,) * len(space.genes)))
        return self.how.data(self.task.setting, network, space.input)


class _Features:
    """Measures the features of networks: the metrics of the training-free run, sizes, structure and genes."""

    def __init__(self, run: TrainedRun, store: Store, genomes: Sequence[Genome]) -> None:
        task = run.first.task
        self._run, self._store = run, store
        self._task = Task(task.space, {**task.filed, **task.metrics}, task.setting)
        self._measured = [one for one in task.constraints if not closed_form(task.metrics[one.name])]
        self._violation: dict[Genome, float] = {}  # of measured networks
        self.builder = FeatureBuilder.of(task.space, tuple(self._task.metrics), genomes)

    def __call__(self, genomes: Sequence[Genome]) -> np.ndarray:
        """Return features, (N, F). Only what the store does not know is measured."""
        with self._run.open_metrics(self._task) as executor:
            rows = list(score_genomes(self._task, self._run.space, genomes, self._store, executor))
        found = [row.evaluation for row in rows]
        self._violation |= zip(genomes, violations(found, self._measured).sum(axis=1).tolist(), strict=True)
        values = losses(found, self._task.objectives)
        names = [goal.name for goal in self._task.objectives]
        return self.builder.features(genomes, [dict(zip(names, row, strict=True)) for row in values.tolist()])

    def violation(self, genomes: Sequence[Genome]) -> np.ndarray:
        """Return the violation of the constraints on metrics that need a module, (N,); 0 for unmeasured networks."""
        return np.array([self._violation.get(genome, 0.0) for genome in genomes])


def _is_named(text: str, name: str, space: str) -> bool:
    """Return whether a spec of an objective has a name on a space."""
    from nasctl.search.metrics import make_objective

    return make_objective(text, space)[0] == name

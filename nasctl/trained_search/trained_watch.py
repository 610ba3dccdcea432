"""The messages of the part of a search that trains networks."""

from __future__ import annotations

import shlex
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from nasctl import registry
from nasctl.candidates.reversed_objective import measured_name
from nasctl.data import is_path
from nasctl.evaluation.executor import Executor
from nasctl.evaluation.measure import LocalExecutor
from nasctl.pareto.archive import closest_to_ideal
from nasctl.pareto.losses import front, losses
from nasctl.prediction.training_choice import VERSION
from nasctl.problem.searcher import Evaluation
from nasctl.problem.space import Genome
from nasctl.search.loop import Visit
from nasctl.search.run import Run
from nasctl.search.watch import Recommended, Watch
from nasctl.store.store import Store
from nasctl.store.training_table import TrainingRecord
from nasctl.system import progress
from nasctl.system.table_layout import TableColumn
from nasctl.system.wording import plural
from nasctl.trained_search.trained_run import TrainedRun
from nasctl.trained_search.training_progress import FollowedTrainings, TrainingEffort
from nasctl.training.candidate_training import CandidateTraining
from nasctl.training.labelled import TrainingData
from nasctl.training.recipe import epoch_steps
from nasctl.training.rows import accuracy_text

FEW = 100  # images of a part, of which the standard error of an accuracy is up to five points


class _TrainingsWatch(Watch, ABC):
    """Follows a search that trains, and shows how far each training is.

    Args:
        run: The search.
        budget: Number of candidates.
        limit: Time limit in seconds; None for no limit.
        options: Options that commands on the same store need, such as " --store FILE".
        store: The store, which holds the trainings.
        data: The data as the user named it; "" if it is not known.
    """

    _followed: FollowedTrainings | None = None  # None before the search begins

    def __init__(self, run: Run, budget: int, limit: float | None, options: str, store: str, data: str = "") -> None:
        super().__init__(run, budget, limit, options)
        self._store, self._data = store, data

    def follow(self, store: Store, executor: Executor | None = None) -> None:
        """Run the search to its end, with a progress line for each training.

        Args:
            store: Records the run.
            executor: Where networks are trained; this process by default.
        """
        self._followed = FollowedTrainings(executor or LocalExecutor(self._task), self._plan(), store.path)
        super().follow(store, self._followed)

    def interrupted(self, command: str) -> list[str]:
        """Return the lines for an interrupted search; the same command resumes it.

        Finished trainings count, even if the search waits for an earlier one before it takes them.
        """
        followed = self._followed
        done = len(self._found) + (followed.finished() if followed else 0)
        more = len(followed.begun) if followed else 0
        part = f" and a part of {plural(more, 'further one')}" if more else ""
        return ["", f"stopped after {plural(done, 'training')}{part}; this goes on:", f"  {command}"]

    @abstractmethod
    def _plan(self) -> TrainingEffort:
        """Return the trainings of the search."""

    def _export_options(self, training: str) -> str:
        """Return the options that export a training, with the path of its data, on which files are compared."""
        data = f" --data {shlex.quote(self._data)}" if self._data and is_path(self._data) else ""
        return f" --weights {training} --format python,onnx{data}"

    def _display(self) -> progress.Progress:
        return progress.Progress(self._budget, "training", self._work)

    def _work(self) -> progress.WorkInProgress:
        """Return the trainings in progress. With a time limit, no more time is left than up to it."""
        assert self._followed is not None
        work = self._followed.work(len(self._found))
        if self._limit is None or work.left is None:
            return work
        return work._replace(left=min(work.left, max(0.0, self._limit - (time.monotonic() - self._start))))

    def _note(self, visit: Visit) -> None:
        super()._note(visit)
        if self._followed is not None:
            self._followed.given(visit.evaluation.genome)


class CandidatesTrainedWatch(_TrainingsWatch):
    """Follows a search with the objective `trained`, and names the training of the network that it exports."""

    def opening(self) -> list[str]:
        """Return the lines that say what is about to be searched, with a warning if trainings have few steps.

        The recipe is part of the objective that the user typed, so that no other one takes its place.
        """
        plan, few = self._plan(), filter(None, map(self._few_steps, self._trained_objectives))
        return [*super().opening(), *effort_lines(plan), *few]

    @property
    def _trained_objectives(self) -> list[str]:
        """The objectives that train."""
        return [one for one in self._run.objectives if registry.plugin_of(measured_name(one)) == "trained"]

    def _training(self, objective: str) -> tuple[CandidateTraining, TrainingData, str]:
        """Return how an objective trains, the data, and what the objective measures of the trained network."""
        options = registry.options("objectives", measured_name(objective))
        measure = options.pop("measure", "accuracy")
        how, space = CandidateTraining(**options), self._run.task.space
        network = space.network(space.canonical((0,) * len(space.genes)))
        return how, how.data(self._run.task.setting, network, space.input), measure

    def _plan(self) -> TrainingEffort:
        if not self._trained_objectives:  # another plug-in trains, whose trainings are not known
            return TrainingEffort(self._budget, 1, 1, lambda genome: ())
        how, data, _ = self._training(self._trained_objectives[0])
        epochs, steps = effort(how, data)
        space, drawn = self._run.asked["space"], list(self._run.task.setting.draws())
        return TrainingEffort(
            self._budget,
            steps,
            epochs,
            lambda genome: [how.training(space, genome, data, one).name for one in drawn],
            len(drawn),
        )

    def _few_steps(self, objective: str) -> str:
        """Return a warning if an objective trains few images by the usual recipe; "" otherwise."""
        how, data, measure = self._training(objective)
        images = data.size("train")
        better = how.for_examples(data.task, images)
        if better == how:
            return ""
        few = f"{plural(images, 'training image is', 'training images are')} few for the usual recipe"
        return f"Warning: {few}; --objective {better.objective(measure)} trains for more steps"

    def _weights(self, genome: Genome) -> str:
        """Return the options that export the weights of a candidate's training."""
        values = {one.genome: one.values for one in self._found}[genome].values()
        for row in Store.reading(self._store).trainings(self._run.asked["space"]):
            result = row.result.get("validation", {})
            # Several recipes may have trained the network: the training of this search has its value.
            if row.state == "finished" and row.genome == genome and _figures(result) & set(values):
                return self._export_options(row.name)
        return ""


def effort(how: CandidateTraining, data: TrainingData) -> tuple[int, int]:
    """Return the epochs and the steps of a training.

    Args:
        how: How networks are trained.
        data: The data.
    """
    recipe = how.recipe_for(data.task)
    return recipe.epochs, recipe.epochs * epoch_steps(data.size("train"), recipe.batch)


def _example_counts(data: TrainingData) -> list[str]:
    """Return the sentence that says on how many examples trained networks were judged."""
    word, results = ("image", "accuracies are") if data.task == "classes" else ("row", "results are")
    counts = {part: data.size(part) for part in ("validation", "test")}
    judged = [plural(number, f"{part} {word}") for part, number in counts.items() if number]
    few = any(0 < number < FEW for number in counts.values())
    luck = ", so few that luck decides much: another --split-seed gives other results" if few else ""
    return [f"{results} on {' and '.join(judged)}{luck}"]


def effort_lines(plan: TrainingEffort) -> list[str]:
    """Return the line that says how much is trained; none if the trainings are not known."""
    if plan.steps <= 1:
        return []
    number = plan.candidates * plan.draws
    each = f"{plural(number, 'training')} of {plural(plan.epochs, 'epoch')}, {plural(plan.steps, 'step')}"
    return [f"{each} each: {plural(number * plan.steps, 'step')} in all. The time left is shown after the first steps"]


def _figures(result: Mapping[str, Any]) -> set[float]:
    """Return the values that the objective `trained` may have for a result: accuracy in per cent, and loss."""
    accuracy = result.get("accuracy")
    return {value for value in (None if accuracy is None else 100 * accuracy, result.get("loss")) if value is not None}


class TrainedWatch(_TrainingsWatch):
    """Follows the trainings of a search and reports them to the user.

    Args:
        run: The run that trains.
        store: The store, from which results of trainings are read.
        limit: Time limit in seconds; None for no limit.
        options: Options that commands on the same store need, such as " --store FILE".
        data: The data as the user named it; "" if it is not known.
    """

    def __init__(self, run: TrainedRun, store: str, limit: float | None, options: str = "", data: str = "") -> None:
        super().__init__(run, run.trainings, limit, options, store, data)
        self._trained_run = run

    def opening(self) -> list[str]:
        """Return the lines that say what is about to be trained. Remarks on costs were made by the search before."""
        run, arrows = self._trained_run, {"min": "down", "max": "up"}
        objectives = ", ".join(f"{goal.name} ({arrows[goal.direction]})" for goal in self._task.objectives)
        among = f"up to {plural(run.measurements, 'network')} of {run.first.name} and of searches on a predictor"
        if run.trainings <= run.plan.first:  # a single round, before there is a predictor
            among = f"the {plural(run.plan.searched, 'network')} of {run.first.name}"
        return [
            f"run {run.name}: {plural(run.trainings, 'training')}, chosen among {among}",
            f"objectives: {objectives}",
            *(
                ["goes on with the run's own choice of trainings; another run would choose anew"]
                * (run.choice < VERSION)
            ),
            *effort_lines(self._plan()),
            *run.recipe_notes,
        ]

    def _plan(self) -> TrainingEffort:
        run = self._trained_run
        epochs, steps = effort(run.how, run.data)
        return TrainingEffort(run.trainings, steps, epochs, lambda genome: [run.training_name(genome)])

    def table(self) -> tuple[list[TableColumn], list[list[Any]]]:
        """Return the columns and the rows of a table of the trained networks on the front, the best label first."""
        found, records = self._front()
        goals = self._task.objectives
        columns = [TableColumn("id"), *(TableColumn(name, priority=1) for name in ("training", "validation", "test"))]
        columns += [TableColumn(goal.name, self._task.metrics[goal.name].unit, priority=1) for goal in goals[1:]]
        rows = []
        for one in found:
            record = records.get(one.genome)
            result: Mapping[str, Any] = record.result if record else {}
            parts = [accuracy_text(result.get(part)) for part in ("validation", "test")]
            name = record.name if record else "-"
            rows.append([self._id(one.genome), name, *parts, *(one.values.get(goal.name) for goal in goals[1:])])
        return columns, rows

    def closing(
        self, machines: Mapping[str, int] = MappingProxyType({}), recommended: Recommended | None = None
    ) -> list[str]:
        """Return the lines that say how the trainings ended, with the next two commands to type.

        Args:
            machines: Values of the run by machine, as `Store.machines` returns them.
            recommended: The recommended network of the run; by default the one closest to the best of every objective.
        """
        lines = super().closing(machines, recommended)
        found, records = self._front()
        if not found:
            return lines
        closest = found[closest_to_ideal(losses(found, self._task.objectives))]
        best = (recommended.chosen if recommended else closest).genome
        if best not in records:
            return lines
        options, data = self._export_options(records[best].name), self._trained_run.data
        note = self._trained_run.guessing_note(records[best])
        return [
            lines[0],
            *_example_counts(data),
            *lines[1:-2],
            *([f"Warning: {note}. Train for more --epochs, or on more data."] * bool(note)),
            lines[-2],
            f"      nasctl export --arch {self._id(best)}{options}{self._options}",
        ]

    def json_values(self) -> dict[str, Any]:
        """Return the result as JSON has it, with the results of the trainings."""
        found, records = self._front()
        trainings = {
            self._id(one.genome): {"training": records[one.genome].name, "results": dict(records[one.genome].result)}
            for one in found
            if one.genome in records
        }
        return {**super().json_values(), "trained": trainings}

    def _front(self) -> tuple[list[Evaluation], dict[Any, TrainingRecord]]:
        """Return the trained networks on the front, the best label first, and their trainings by genome."""
        goals = self._task.objectives
        found = front(self._found, goals, self._task.constraints)
        records = self._trained_run.records(Store.reading(self._store), [one.genome for one in found])
        return sorted(found, key=lambda one: float(losses([one], goals)[0, 0])), records

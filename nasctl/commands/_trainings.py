"""Options of `nasctl search` that make it end in trained networks, and the part of the search that trains."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING

import click

from nasctl.commands._groups import OptionGroup
from nasctl.errors import NasctlError

if TYPE_CHECKING:
    from nasctl.evaluation.executor import Executor
    from nasctl.evaluation.task import Task
    from nasctl.search.request import SearchRequest, SettingOptions
    from nasctl.search.run import Run
    from nasctl.trained_search.trained_run import TrainedRun
    from nasctl.training.candidate_training import CandidateTraining
    from nasctl.workers import WorkerOptions

GOES_ON = "nasctl.goes_on"  # key of a context's `meta`: True if another command goes on, so that no next one is named


@dataclass(frozen=True)
class SearchTrainings:
    """Trainings of a search as a user asks for them.

    Args:
        trainings: Number of networks to train; None for a search without trainings.
        recipe: Path of a recipe; "" for the usual recipe of the task.
        epochs: Passes over the training part; 0 for those of the recipe.
        split: Shares of the parts of the data.
        split_seed: Seed of the split.
    """

    trainings: int | None = None
    recipe: str = ""
    epochs: int = 0
    split: str = "0.8,0.1,0.1"
    split_seed: int = 0

    @property
    def how(self) -> CandidateTraining:
        """How networks are trained."""
        from nasctl.training.candidate_training import CandidateTraining

        return CandidateTraining(self.recipe, self.epochs, self.split.replace(",", "-"), self.split_seed)

    def budget(self, request: SearchRequest, budget: int) -> int:
        """Return the number of candidates of the search itself.

        Args:
            request: The search.
            budget: Number of networks whose metrics may be measured.
        """
        from nasctl.prediction.training_choice import TrainingPlan

        if self.trainings is None:
            return budget
        return self.trainings if self.are_candidates(request) else TrainingPlan(self.trainings, budget).searched

    def are_candidates(self, request: SearchRequest) -> bool:
        """Return whether an objective of the search itself trains, so that each candidate is a training."""
        from nasctl import registry
        from nasctl.candidates.reversed_objective import measured_name

        plugins = (
            registry.plugin_of(measured_name(spec).partition("@")[0]) for spec in registry.split(request.objectives)
        )
        return any("training" in getattr(registry.load("objectives", plugin), "needs", ()) for plugin in plugins)

    def request(self, request: SearchRequest, setting: SettingOptions) -> SearchRequest:
        """Return the search whose networks have the outputs that the data needs, and metrics for a predictor.

        Raises:
            NasctlError: Trainings are asked for without data, the data has no labels, or options of trainings are given
                beside an objective that has them.
        """
        if self.trainings is None:
            if self != SearchTrainings():
                raise NasctlError("--recipe, --epochs and --split are about trainings; give --trainings N as well")
            if self.are_candidates(request):
                raise NasctlError(
                    "Cannot train every candidate without a number: each costs a whole training. Give --trainings N."
                )
            return request
        if setting.data is None:
            raise NasctlError("say what to train on: --data digits, or a folder of images by class")
        from nasctl import registry
        from nasctl.search.default_objectives import default_objectives
        from nasctl.trained_search.feature_metrics import with_feature_metrics
        from nasctl.training.candidate_training import labelled_classes
        from nasctl.training.request import trained_space

        space = registry.create("spaces", request.space)
        classes = labelled_classes(space, setting.setting(space))
        request = replace(request, space=trained_space(request.space, classes))
        if self.are_candidates(request):
            if self != SearchTrainings(self.trainings):
                raise NasctlError(
                    "Cannot apply --recipe, --epochs and --split to the objective trained: it has options of its own."
                    f" Write --objective {self.how.objective()}."
                )
            return request
        space, with_device = registry.create("spaces", request.space), bool(registry.listed(request.devices))
        objectives = registry.split(request.objectives) or list(
            default_objectives(request.space, space, request.task, with_device).objectives
        )
        record = with_feature_metrics(request.space, space, objectives, registry.split(request.record))
        return replace(request, record=tuple(record))


trainings_group = OptionGroup(
    "trainings",
    "Trainings",
    SearchTrainings,
    (
        click.option(
            "--trainings",
            type=click.IntRange(1, 100_000),
            metavar="N",
            help="Train N networks on the labelled data of --data: a shortlist of the search, then what a predictor of"
            " their accuracies prefers. --budget counts the networks whose metrics are measured.",
        ),
        click.option("--recipe", default="", metavar="FILE", help="Recipe of the trainings; see nasctl train."),
        click.option("--epochs", default=0, type=click.IntRange(0, 1_000_000), help="Epochs of a training."),
        click.option(
            "--split", default="0.8,0.1,0.1", show_default=True, help="Shares of training, validation and test data."
        ),
        click.option("--split-seed", default=0, type=click.IntRange(0, 2**32 - 1), help="Seed of the split."),
    ),
)


def train_chosen(
    run: TrainedRun,
    workers: WorkerOptions,
    store: str,
    limit: float | None,
    options: str,
    as_json: bool,
    data: str,
) -> int:
    """Train the networks of a run, show the progress and the trained front, and return the exit code.

    Args:
        run: The run.
        workers: Workers, each of which trains one network at a time.
        store: Path of the store.
        limit: Time limit in seconds; None for no limit.
        options: Options that commands on the same store need.
        as_json: Whether the result is printed as JSON.
        data: The data as the user named it.
    """
    from nasctl.analysis.recommendation import recommend
    from nasctl.search.run_lock import in_use
    from nasctl.store.store import Store
    from nasctl.system.signals import exit_code
    from nasctl.system.terminal import say, table
    from nasctl.trained_search.trained_watch import TrainedWatch
    from nasctl.workers import open_executor

    without_limits = replace(workers, seconds=None, memory=None)  # the limits are about metrics
    with ExitStack() as opened:
        run = replace(run, open_metrics=_metrics_of(workers, opened))
        run.file_under(store)
        watch = TrainedWatch(run, store, limit, options, data)
        others = opened.enter_context(in_use(store, run.name))
        say("", *watch.opening(), *others)
        records = Store(store)
        try:
            with open_executor(without_limits, run.task) as executor:
                watch.follow(records, executor)
        except KeyboardInterrupt as stop:
            say(*watch.interrupted(shlex.join(["nasctl", *sys.argv[1:]])))
            return exit_code(stop)
    recommended = recommend(records, *records.run(run.name), watch.found) if watch.found else None
    if not as_json:
        table(*watch.table(), title="front of trained networks")
    else:
        click.echo(watch.json(recommended))
    say(*closing_lines(watch.closing(records.machines(run.name), recommended)))
    return watch.exit_status


def closing_lines(lines: Sequence[str]) -> list[str]:
    """Return the last lines of a search, without the next commands if the command that called it goes on.

    Args:
        lines: The lines, the next commands last.
    """
    goes_on = click.get_current_context().meta.get(GOES_ON, False)
    return list(takewhile(lambda line: not (goes_on and line.startswith("next: ")), lines))


def _metrics_of(workers: WorkerOptions, opened: ExitStack) -> Callable[[Task], AbstractContextManager[Executor]]:
    """Return the function that opens the executor of metrics between trainings.

    Its processes live until the end of the search, because starting them takes as long as measuring several networks.
    Workers on GPUs or on a cluster end with each round, so that they hold no memory that trainings need.

    Args:
        workers: Workers of the search.
        opened: Closes executors at the end of the search.
    """
    from nasctl.workers import open_executor

    kept: list[tuple[Task, Executor]] = []

    def metrics(task: Task) -> AbstractContextManager[Executor]:
        if workers.cluster or workers.gpus:
            return open_executor(workers, task)
        found = next((executor for known, executor in kept if known is task), None)
        if found is None:
            found = opened.enter_context(open_executor(workers, task))
            kept.append((task, found))
        return nullcontext(found)

    return metrics


def trained_run(first: Run, options: SearchTrainings, budget: int, store: str) -> TrainedRun:
    """Return the run that trains networks after a search, which is checked.

    Args:
        first: The search.
        options: The trainings.
        budget: Number of networks whose metrics may be measured.
        store: Path of the store, which may have begun the run with another recipe.

    Raises:
        NasctlError: The trainings cannot work; see `TrainedRun.check`.
    """
    from nasctl.store.store import Store
    from nasctl.trained_search.trained_run import TrainedRun

    assert options.trainings is not None
    run = TrainedRun.after(first, options.how, options.trainings, budget)
    run.check()  # before the work
    return run.as_begun(Store.reading(store))

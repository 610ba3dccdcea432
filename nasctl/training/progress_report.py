"""The display of the progress of every training, and its notes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

from nasctl.errors import NasctlError
from nasctl.registry.version import __version__
from nasctl.system.terminal import plural
from nasctl.training.batches import steps_per_epoch
from nasctl.training.display import Display
from nasctl.training.evaluation import Result
from nasctl.training.events import Diverged, Evaluated, Event, Resumed, StepDone
from nasctl.training.few_examples import few_examples_note
from nasctl.training.image_notes import flip_notes, guessing_note
from nasctl.training.labelled import TrainingData
from nasctl.training.recipe import Recipe
from nasctl.training.split import PARTS
from nasctl.training.training import Work


@dataclass(frozen=True)
class Reporting:
    """How a training works and what it writes besides its result, as a user asks for it; no field changes a result.

    Args:
        workers: Processes that decode images; None for the usual number.
        log: A further file for the log; None for none.
        tensorboard: Whether event files are written.
    """

    workers: int | None = None
    log: Path | None = None
    tensorboard: bool = False

    def check(self) -> None:
        """Raise a `NasctlError` if TensorBoard is asked for and not installed."""
        if self.tensorboard and find_spec("tensorboard") is None:
            raise NasctlError(
                "--tensorboard needs TensorBoard, which is not installed: pip install 'nasctl[tensorboard]'"
            )

    def work(self, start: Path | None, note: Callable[[str], object]) -> Work:
        """Return these options, with the file of the weights that the training begins with, and a sink of sentences."""
        return Work(self.workers, start, self.log, self.tensorboard, note)


class ProgressReport:
    """Follows a training and shows its progress to the user.

    Args:
        name: Name of the training.
        recipe: Its recipe.
        data: Its data.
        until: Number of steps after which the training pauses; None for the end.
    """

    def __init__(self, name: str, recipe: Recipe, data: TrainingData, until: int | None = None) -> None:
        self._name, self._recipe, self._data, self._until = name, recipe, data, until
        self._unit = "images" if data.task == "classes" else "rows"
        self._epoch_steps = steps_per_epoch(data, recipe.batch)
        self._step = 0

    def __enter__(self) -> Self:
        epochs = self._recipe.epochs
        self._display = Display(self._name, self._unit, epochs * self._epoch_steps, epochs, self._until)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._display.close()

    def note(self, sentence: str) -> None:
        """Show a sentence."""
        self._display.note(sentence)

    def follow(self, event: Event) -> None:
        """Show an event."""
        if isinstance(event, Resumed):
            self._step = event.step
            self._display.go_on(event.step, f"goes on after step {event.step:,}{_other_versions(event.versions)}")
        elif isinstance(event, StepDone):
            self._step = event.step
            self._display.step(event.step, event.loss, event.accuracy, event.examples_per_second)
        elif isinstance(event, Evaluated) and event.part == "validation":
            self.show_evaluation(event)
        elif isinstance(event, Diverged):
            sentence = f"diverged at step {event.step:,} (loss {event.loss:.3g}): goes back to step {event.back_to:,}"
            self._display.go_on(event.back_to, f"{sentence} with {event.rate_factor:g} times the rate")

    def show_evaluation(self, event: Evaluated) -> None:
        """Show an evaluation on the validation part."""
        self._display.evaluated(event.result, event.epoch)

    def interrupted(self, command: str) -> list[str]:
        """Return the lines for a training that was stopped; the same command resumes it."""
        return ["", f"stopped after step {self._step:,}; this goes on:", f"  {command}"]

    def data_lines(self) -> list[str]:
        """Return the lines that describe the data."""
        few = few_examples_note(self._recipe, self._data.task, self._data.size("train"))
        flips = flip_notes(self._data, self._recipe.flip, "--set flip=false")
        return [f"data {self._data}", *self._data.notes, *flips, *filter(None, [few])]

    def recipe_lines(self, world: int, print_recipe: str = "; --print-recipe shows all of it") -> list[str]:
        """Return the lines that describe the recipe and the number of processes."""
        recipe = self._recipe
        epochs = f"{plural(recipe.epochs, 'epoch')} of {plural(self._epoch_steps, 'step')}"
        scaled = "" if recipe.peak_rate == recipe.rate else f" ({recipe.peak_rate:.4g} at batch {recipe.batch})"
        rate = f"rate {recipe.rate:g}{scaled}, {recipe.schedule}"
        return [
            f"recipe: {epochs} of {plural(recipe.batch, self._unit[:-1])}, {recipe.optimiser}, {rate}{print_recipe}",
            *([f"{world} processes train together, each on a share of every batch"] * (world > 1)),
        ]

    def guessing_lines(self, results: Mapping[str, Result]) -> list[str]:
        """Return a line if the network is no better than guessing, on the last part that it was evaluated on."""
        part, result = next(reversed(list(results.items())), ("", None))
        counts = self._data.class_counts(part) if part in PARTS else None
        if result is None or result.accuracy is None or counts is None:
            return []
        note = guessing_note(part, result.accuracy, result.error, counts)
        rate = f"Train for more --epochs, or with --set rate=VALUE (it is {self._recipe.rate:g})."
        return [f"Warning: {note}. {rate}"] if note else []


def _other_versions(versions: Mapping[str, str]) -> str:
    """Return a clause if other versions of nasctl or torch wrote a checkpoint, whose last bits may differ."""
    today = {"nasctl": __version__, "torch": version("torch")}
    other = [f"{name} {version}" for name, version in versions.items() if today.get(name) not in (None, version)]
    return f"; it was begun with {' and '.join(other)}, so the last bits may differ" if other else ""

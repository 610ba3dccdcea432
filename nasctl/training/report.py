"""The messages of a training: what is trained on what, how far it is, and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

from nasctl.architectures.architecture import architecture
from nasctl.errors import NasctlError
from nasctl.system.terminal import duration, plural, quantity
from nasctl.training.batches import steps_per_epoch
from nasctl.training.display import Display, result_text
from nasctl.training.evaluation import Result
from nasctl.training.events import Diverged, Evaluated, Event, Resumed, StepDone
from nasctl.training.image_notes import flip_notes, guessing_note
from nasctl.training.labelled import TrainingData
from nasctl.training.rows import accuracy_text
from nasctl.training.split import PARTS
from nasctl.training.training import Trained, Training, Work
from nasctl.version import __version__


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


class Report:
    """Follows one training and reports it to the user.

    Args:
        training: The training.
        data: Its data.
        options: Options that commands on the same store need, such as " --store FILE".
        until: Number of steps after which the training pauses; None for the end.
    """

    def __init__(self, training: Training, data: TrainingData, options: str = "", until: int | None = None) -> None:
        self._training, self._data, self._options, self._until = training, data, options, until
        self._architecture = architecture(training.space, training.genome)
        self._step = 0

    @property
    def _unit(self) -> str:
        return "images" if self._training.task == "classes" else "rows"

    @property
    def _epoch_steps(self) -> int:
        return steps_per_epoch(self._data, self._training.recipe.batch)

    def opening(self, with_data: bool = True, dry_run: bool = False) -> list[str]:
        """Return the lines that say what is about to be trained.

        Args:
            with_data: Whether the data is described too, as for the first of several trainings.
            dry_run: Whether nothing is trained.
        """
        training, recipe, network = self._training, self._training.recipe, self._architecture.network
        flips = flip_notes(self._data, recipe.flip, "--set flip=false")
        lines = [f"data {self._data}", *self._data.notes, *flips] if with_data else []
        costs = f"{quantity(network.params, 'parameters')} parameters, {quantity(network.macs, 'MACs')} MACs"
        epochs = f"{plural(recipe.epochs, 'epoch')} of {plural(self._epoch_steps, 'step')}"
        scaled = "" if recipe.peak_rate == recipe.rate else f" ({recipe.peak_rate:.4g} at batch {recipe.batch})"
        rate = f"rate {recipe.rate:g}{scaled}, {recipe.schedule}"
        return [
            *lines,
            f"{'would train' if dry_run else 'training'} {training.name}: {self._architecture.id}, {costs}",
            f"recipe: {epochs} of {plural(recipe.batch, self._unit[:-1])},"
            f" {recipe.optimiser}, {rate}; --print-recipe shows all of it",
            *([f"{training.world} processes train together, each on a share of every batch"] * (training.world > 1)),
        ]

    def __enter__(self) -> Self:
        epochs = self._training.recipe.epochs
        self._display = Display(self._training.name, self._unit, epochs * self._epoch_steps, epochs, self._until)
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
            self._display.evaluated(event.result, event.epoch)
        elif isinstance(event, Diverged):
            sentence = f"diverged at step {event.step:,} (loss {event.loss:.3g}): goes back to step {event.back_to:,}"
            self._display.go_on(event.back_to, f"{sentence} with {event.rate_factor:g} times the rate")

    def interrupted(self, command: str) -> list[str]:
        """Return the lines for a training that was stopped; the same command resumes it."""
        return ["", f"stopped after step {self._step:,}; this goes on:", f"  {command}"]

    def closing(self, trained: Trained) -> list[str]:
        """Return the lines that say how the training ended, with the next command to type."""
        name, arch = self._training.name, self._architecture
        lines = []
        for part, result in trained.results.items():
            by_class = result.accuracy is not None
            word = "accuracy " if by_class else ""
            text = accuracy_text(trained.record.result[part]) if by_class else result_text(result)
            lines.append(f"{part} {word}{text} on {plural(result.examples, f'{part} {self._unit[:-1]}')}")
        took = f"took {duration(trained.record.seconds)}"
        done = took if trained.session_steps else f"is finished ({took})"
        export = f"nasctl export --arch {arch.id} --weights {name} --format python,onnx{self._options}"
        return [
            f"training {name} {done}; its weights are in {trained.folder.weights}",
            *lines,
            *self._guessing(trained.results),
            f"next: {export}",
            f"      nasctl train plot {name}{self._options}",
        ]

    def _guessing(self, results: Mapping[str, Result]) -> list[str]:
        """Return a line if the network is no better than guessing, on the last part that it was evaluated on."""
        part, result = next(reversed(list(results.items())), ("", None))
        counts = self._data.class_counts(part) if part in PARTS else None
        if result is None or result.accuracy is None or counts is None:
            return []
        note = guessing_note(part, result.accuracy, result.error, counts)
        rate = f"Train for more --epochs, or with --set rate=VALUE (it is {self._training.recipe.rate:g})."
        return [f"Warning: {note}. {rate}"] if note else []


def _other_versions(versions: Mapping[str, str]) -> str:
    """Return a clause if other versions of nasctl or torch wrote a checkpoint, whose last bits may differ."""
    today = {"nasctl": __version__, "torch": version("torch")}
    other = [f"{name} {version}" for name, version in versions.items() if today.get(name) not in (None, version)]
    return f"; it was begun with {' and '.join(other)}, so the last bits may differ" if other else ""

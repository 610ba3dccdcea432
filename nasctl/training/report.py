"""The messages of a training: what is trained on what, how far it is, and how it ended."""

from __future__ import annotations

from collections.abc import Sequence

from nasctl.architectures.architecture import architecture
from nasctl.system.terminal import duration, plural, quantity
from nasctl.training.batches import steps_per_epoch
from nasctl.training.display import result_text
from nasctl.training.labelled import TrainingData
from nasctl.training.progress_report import ProgressReport
from nasctl.training.rows import accuracy_text
from nasctl.training.training import Trained, Training


def effort_lines(asked: Sequence[tuple[Training, TrainingData]]) -> list[str]:
    """Return the line that says how much several trainings are together; none for one training.

    Args:
        asked: The trainings with their data.
    """
    if len(asked) == 1:
        return []
    steps = [one.recipe.epochs * steps_per_epoch(data, one.recipe.batch) for one, data in asked]
    each = f" of {plural(steps[0], 'step')}" if len(set(steps)) == 1 else ""
    return [f"{plural(len(asked), 'training')}{each}, one after another: {plural(sum(steps), 'step')} in all"]


class Report(ProgressReport):
    """Follows one training and reports it to the user.

    Args:
        training: The training.
        data: Its data.
        options: Options that commands on the same store need, such as " --store FILE".
        until: Number of steps after which the training pauses; None for the end.
    """

    def __init__(self, training: Training, data: TrainingData, options: str = "", until: int | None = None) -> None:
        super().__init__(training.name, training.recipe, data, until)
        self._training, self._options = training, options
        self._architecture = architecture(training.space, training.genome)

    def opening(self, with_data: bool = True, dry_run: bool = False) -> list[str]:
        """Return the lines that say what is about to be trained.

        Args:
            with_data: Whether the data is described too, as for the first of several trainings.
            dry_run: Whether nothing is trained.
        """
        training, network = self._training, self._architecture.network
        costs = f"{quantity(network.params, 'parameters')} parameters, {quantity(network.macs, 'MACs')} MACs"
        return [
            *(self.data_lines() if with_data else []),
            f"{'would train' if dry_run else 'training'} {training.name}: {self._architecture.id}, {costs}",
            *self.recipe_lines(training.world),
        ]

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
            *self.guessing_lines(trained.results),
            f"next: {export}",
            f"      nasctl train plot {name}{self._options}",
        ]

"""The messages of a supernet's training: what is trained on what, how far it is, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from nasctl import registry
from nasctl.networks.graph import Network
from nasctl.networks.input_dependence import ignores_images
from nasctl.supernets.learned_choices import certainty_text
from nasctl.supernets.learner import SAMPLED
from nasctl.supernets.question import Supernet
from nasctl.supernets.running import SupernetSession
from nasctl.system.terminal import duration, plural, quantity
from nasctl.training.display import result_text
from nasctl.training.evaluation import Result
from nasctl.training.events import Evaluated, Event
from nasctl.training.labelled import TrainingData
from nasctl.training.progress_report import ProgressReport
from nasctl.training.rows import accuracy_text

SHARED = {"entangled": "across kinds of blocks", "blocks": "within a kind of block"}


class SupernetReport(ProgressReport):
    """Follows the training of a supernet and reports it to the user.

    Args:
        supernet: The question.
        data: Its data.
        options: Options that commands on the same store need, such as " --store FILE".
    """

    def __init__(self, supernet: Supernet, data: TrainingData, options: str = "") -> None:
        super().__init__(supernet.name, supernet.recipe, data)
        self._supernet, self._options = supernet, options
        self._judged: dict[str, Result] = {}  # of the evaluation in progress, by name of the network
        self._epochs = 0.0  # done at this evaluation

    def opening(self, dry_run: bool = False) -> list[str]:
        """Return the lines that say what is about to be trained.

        Args:
            dry_run: Whether nothing is trained.
        """
        one = self._supernet
        return [
            *self.data_lines(),
            f"{'would train' if dry_run else 'training'} {one.name}: the networks of {one.space} by {one.strategy},"
            f" which share weights {SHARED[one.share]} (--share {one.share})",
            *self.recipe_lines(one.world),
        ]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._show_judged()
        super().__exit__(kind, error, trace)

    def follow(self, event: Event) -> None:
        """Show an event."""
        if not isinstance(event, Evaluated) or event.part != "validation":
            self._show_judged()  # networks with untrained weights are not judged, so fewer have come than usual
        super().follow(event)

    def show_evaluation(self, event: Evaluated) -> None:
        """Show an evaluation on the validation part, once the last network is judged."""
        self._judged[event.subnet], self._epochs = event.result, event.epoch
        if len(self._judged) == 2 + SAMPLED:
            self._show_judged()

    def _show_judged(self) -> None:
        """Show the results that have come since the last call."""
        if not self._judged:
            return
        first, *others = self._judged.items()
        shown = [f"{name} {_short(result)}" for name, result in others if not name.startswith("sample ")]
        if samples := [_short(one) for name, one in others if name.startswith("sample ")]:
            shown.append(f"samples {', '.join(samples)}")
        self._display.evaluated(first[1], self._epochs, first[0], "; ".join(shown))
        self._judged.clear()

    def closing(self, session: SupernetSession, row: Mapping[str, Any]) -> list[str]:
        """Return the lines that say how the training ended, with the next commands to type.

        Args:
            session: The session that has ended.
            row: The supernet as `supernet_row` returns it.
        """
        name, unit = row["supernet"], self._unit[:-1]
        took = f"took {duration(row['seconds'])}"
        lines = [
            f"supernet {name} {took if session.session_steps else f'is finished ({took})'}; its weights are in"
            f" {row['weights']}"
        ]
        for part, results in row["results"].items():
            found = {key: Result(**value) for key, value in results.items()}
            examples = next(iter(found.values())).examples
            shown = "; ".join(f"{key} {_text(one)}" for key, one in found.items())
            lines.append(f"{part} on {plural(examples, f'{part} {unit}')}: {shown}")
        largest = {part: Result(**one["largest"]) for part, one in row["results"].items() if "largest" in one}
        space = registry.normal("spaces", row["space"])
        if any(one.accuracy is None and one.perplexity is None for one in largest.values()):
            return [*lines, "its strategy scores networks and trains no classifier: less is better"]
        if row["choices"]:
            lines += _choice_lines(row, self._options)
        first, *others = (f"nasctl {one}{self._options}" for one in self._commands(row, space))
        return [*lines, *self.guessing_lines(largest), f"next: {first}", *(f"      {one}" for one in others)]

    def _commands(self, row: Mapping[str, Any], space: str) -> list[str]:
        """Return the next commands to type, for the network that the strategy has chosen or else the largest one."""
        name, (data, _, digest) = row["supernet"], self._supernet.data.partition(" split=")[0].partition("#")
        use = [f"export --arch {row['judged']['largest']['id']} --weights {name}"]
        if row["choices"]:  # weights learn in mixtures, or on half of the examples: they are trained before an export
            arch = row["choices"]["chosen"]["id"]
            use = [
                f"supernet evaluate {name} --arch {arch}",
                f"train --arch {arch} --data {'DATA' if digest else data} --from {name}",  # a digest is of files
                f"space sample {space} --from {name}",
            ]
        return [
            f"search --space {space} -o {self._objective}@{name},macs",
            *use,
            f"supernet show {name} --plot {name}.png",
        ]

    @property
    def _objective(self) -> str:
        return "accuracy" if self._supernet.task == "classes" else "loss"


def _choice_lines(row: Mapping[str, Any], options: str) -> list[str]:
    """Return the lines that say what the strategy has chosen, and how far it has decided."""
    choices, space = row["choices"], registry.create("spaces", row["space"])
    one = choices["chosen"]
    return [
        f"chosen: {one['id']}, {quantity(one['macs'], 'MACs')} MACs",
        *blind_lines(space.network(tuple(one["genome"])), row["supernet"], options),
        f"choices: {certainty_text(choices['probabilities'])}",
    ]


def blind_lines(network: Network, supernet: str, options: str = "") -> list[str]:
    """Return a warning if a network cannot learn anything.

    Args:
        network: A network that was chosen with a supernet.
        supernet: The supernet's name.
        options: Options that commands on its store need, such as " --store FILE".
    """
    if not ignores_images(network):
        return []
    return [
        "Warning: this network puts out the same for all images, because its choices let nothing through. Choose"
        f" another: nasctl supernet select {supernet} --by perturbation{options}"
    ]


def _short(result: Result) -> str:
    """Return the accuracy, the perplexity of words, or the score that a strategy gives, without its error."""
    if result.accuracy is not None:
        return f"{100 * result.accuracy:.1f}%"
    return f"score {result.loss:.4g}" if result.perplexity is None else f"{result.perplexity:.4g}"


def _text(result: Result) -> str:
    """Return the accuracy with its standard error, the result of words, or the score that a strategy gives."""
    if result.accuracy is None and result.perplexity is None:
        return _short(result)
    return result_text(result) if result.accuracy is None else accuracy_text(result.asdict())


__all__ = ["SupernetReport", "blind_lines"]

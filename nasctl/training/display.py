"""The display of a running training on stderr: live on a terminal, otherwise one line per evaluation."""

from __future__ import annotations

import math
import sys
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from nasctl.system.terminal import duration, say
from nasctl.training.evaluation import Result
from nasctl.training.rows import accuracy_text

if TYPE_CHECKING:
    from rich.console import Group

SMOOTHING = 0.95  # weight of earlier steps in the displayed loss and accuracy
QUIET = 60.0  # seconds after which a line is printed though no evaluation came, where stderr is no terminal
HINT = "Ctrl-C stops; the same command resumes"
WIDTH = 60  # columns of the live display
REFRESH = 4  # drawings of the live display per second


@dataclass
class Standing:
    """The state of a training that is shown.

    Attributes:
        step: Steps done.
        steps: Steps of the whole training.
        epochs: Epochs of the whole training.
        loss: Moving average of the training loss; None before the first step.
        accuracy: Moving average of the training accuracy; None where the task has none.
        rate: Examples per second.
        left: Seconds left; None before they can be told.
        validation: The last evaluation on the validation part.
        network: Name of the network of a supernet that it is the result of; "" if one network is trained.
        others: Results of the further networks of a supernet, as words; "" for none.
        evaluated_epoch: Epochs done at that evaluation.
        note: The last event that a person should know of.
    """

    step: int
    steps: int
    epochs: int
    loss: float | None = None
    accuracy: float | None = None
    rate: float | None = None
    left: float | None = None
    validation: Result | None = None
    network: str = ""
    others: str = ""
    evaluated_epoch: float = 0.0
    note: str = ""

    @property
    def epoch(self) -> int:
        """The epoch in progress, counted from 1."""
        return max(1, math.ceil(self.step * self.epochs / max(1, self.steps)))


class Display:
    """The display of one training.

    Args:
        name: Name of the training.
        unit: Name of the examples: "images" or "rows".
        steps: Steps of the whole training.
        epochs: Epochs of the whole training.
        until: Step that the displayed time is left to; None for the last one.
    """

    def __init__(self, name: str, unit: str, steps: int, epochs: int, until: int | None = None) -> None:
        self._name, self._unit, self._end = name, unit, until or steps
        self.state = Standing(0, steps, epochs)
        self._begun, self._first = time.monotonic(), 0
        self._said = self._begun
        self._live: Any = None
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            # `get_renderable` is called at every refresh, so a step costs the display next to nothing.
            console = Console(stderr=True)
            self._live = Live(console=console, get_renderable=self._drawn, refresh_per_second=REFRESH)
            self._live.start()

    def close(self) -> None:
        """End the display; what it shows stays on the screen."""
        if self._live is not None:
            self._live.stop()

    def step(self, step: int, loss: float, accuracy: float | None, rate: float) -> None:
        """Show a step.

        Args:
            step: Steps done.
            loss: Training loss of the step.
            accuracy: Training accuracy of the step; None where the task has none.
            rate: Examples per second.
        """
        now, state = time.monotonic(), self.state
        state.step, state.rate = step, rate
        state.loss, state.accuracy = _mean(state.loss, loss), _mean(state.accuracy, accuracy)
        if step > self._first:
            state.left = (now - self._begun) / (step - self._first) * (self._end - step)
        if self._live is None and now - self._said > QUIET:
            self._say(progress_line(state, self._unit))

    def evaluated(self, result: Result, epoch: float, network: str = "", others: str = "") -> None:
        """Show an evaluation on the validation part.

        Args:
            result: The result.
            epoch: Epochs done.
            network: Name of the network of a supernet; "" if one network is trained.
            others: Results of the further networks of a supernet, as words; "" for none.
        """
        state = self.state
        state.validation, state.evaluated_epoch, state.network, state.others = result, epoch, network, others
        if self._live is None:
            of, more = (f" of the {network}" if network else ""), (f"; {others}" if others else "")
            self._say(f"{progress_line(state, self._unit)}; validation{of} {result_text(result)}{more}")

    def note(self, sentence: str) -> None:
        """Show a sentence, which stays on the screen."""
        self.state.note = sentence
        if self._live is None:
            self._say(sentence)

    def go_on(self, step: int, sentence: str) -> None:
        """Show that the training goes on from another step, such as that of a checkpoint.

        Args:
            step: Steps done.
            sentence: The reason, which stays on the screen.
        """
        self.state.step, self.state.loss, self.state.accuracy, self.state.left = step, None, None, None
        self._begun, self._first = time.monotonic(), step
        self.note(sentence)

    def _say(self, text: str) -> None:
        self._said = time.monotonic()
        say(f"{self._name}: {text}")

    def _drawn(self) -> Group:
        """Return the live display: a bar, the numbers, the last validation and the hint, each at most 60 columns."""
        from rich.console import Group
        from rich.padding import Padding
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        state = self.state
        lines: list[Any] = [
            Text(self._name, no_wrap=True, overflow="ellipsis"),
            # The padding ends the line, which a bar by itself does not.
            Padding(ProgressBar(total=max(1, state.steps), completed=state.step, width=WIDTH), 0),
            *(Text(", ".join(parts)) for parts in (_results(state), _speed(state, self._unit)) if parts),
        ]
        if state.validation is not None:
            after = f" after epoch {state.evaluated_epoch:.4g}"
            lines.append(Text(f"{state.network or 'validation'} {result_text(state.validation)}{after}"))
        lines += [Text(state.others)] if state.others else []
        lines += [Text(state.note)] if state.note else []
        return Group(*lines, Text(HINT, style="dim"))


def progress_line(state: Standing, unit: str) -> str:
    """Return the progress of a training: "epoch 3/30, loss 1.23, accuracy 56.1%, 812 images/s, 3 min 5 s left"."""
    return ", ".join(_results(state) + _speed(state, unit))


def _results(state: Standing) -> list[str]:
    """Return epoch, loss and accuracy as words."""
    parts = [f"epoch {state.epoch}/{state.epochs}"]
    if state.loss is not None:
        parts.append(f"loss {state.loss:.3f}")
    if state.accuracy is not None:
        parts.append(f"accuracy {100 * state.accuracy:.1f}%")
    return parts


def _speed(state: Standing, unit: str) -> list[str]:
    """Return examples per second and the time left as words."""
    parts = []
    if state.rate is not None:
        parts.append(f"{state.rate:,.0f} {unit}/s" if state.rate >= 10 else f"{state.rate:.2g} {unit}/s")
    if state.left is not None:
        parts.append(f"{duration(state.left)} left")
    return parts


def result_text(result: Result) -> str:
    """Return the result of an evaluation: "71.3% ± 1.2%, loss 0.912", or "perplexity 101.2, loss 4.617 ± 0.01"."""
    if result.accuracy is not None:
        return f"{accuracy_text(asdict(result))}, loss {result.loss:.3f}"
    loss = f"loss {result.loss:.3f} \N{PLUS-MINUS SIGN} {result.error:.2g}"
    return loss if result.perplexity is None else f"perplexity {result.perplexity:.4g}, {loss}"


def _mean(before: float | None, value: float | None) -> float | None:
    """Return the moving average after a value; the value if there was none before."""
    if value is None or before is None:
        return value
    return SMOOTHING * before + (1 - SMOOTHING) * value

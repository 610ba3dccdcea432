"""The log of a training in progress, and its event files for TensorBoard."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from nasctl.registry.version import __version__
from nasctl.training.events import Checkpointed, Diverged, Evaluated, Event, Resumed, StepDone
from nasctl.training.training_log import TrainingLog

MOST_STEPS = 10_000  # steps of a training that its log holds; of longer ones, every second step or fewer


class EventLog:
    """Writes the events of a training into logs and event files. The logs are opened at the first event.

    Args:
        name: Name of the training.
        logs: Files of logs, each with the name of the training if several trainings share the file, or "".
        event_files: Folder of event files for TensorBoard; None for none.
        steps: Steps of the whole training.
        epoch_steps: Steps of an epoch.
        follow: Called with each event after it is written.
        seconds_before: Seconds of earlier sessions.
    """

    def __init__(
        self,
        name: str,
        logs: dict[Path, str],
        event_files: Path | None,
        steps: int,
        epoch_steps: int,
        follow: Callable[[Event], object],
        seconds_before: float = 0.0,
    ) -> None:
        self._name, self._follow, self._before = name, follow, seconds_before
        self._logs, self._event_files = logs, event_files
        self._every, self._steps, self._epoch = math.ceil(steps / MOST_STEPS), steps, epoch_steps
        self._begun, self._opened, self._files = time.monotonic(), ExitStack(), list[TrainingLog]()
        self._writer: Any = None
        self.session_steps = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._opened.close()

    @property
    def opened(self) -> bool:
        """True after the first event."""
        return bool(self._files)

    @property
    def seconds(self) -> float:
        """Seconds of all sessions of the training."""
        return self._before + time.monotonic() - self._begun

    def event(self, event: Event) -> None:
        """Write an event."""
        if not self._files:
            self._open(event.step if isinstance(event, Resumed) else 0)
        if isinstance(event, StepDone):
            self.session_steps += 1
            if event.step % self._every == 0 or event.step == self._steps:
                self._write_step(event)
        elif isinstance(event, Evaluated):
            subnet = {"subnet": event.subnet} if event.subnet else {}
            result = {"part": event.part, **subnet, **asdict(event.result)}
            self.write("evaluated", step=event.step, epoch=event.epoch, **result)
            place = "/".join([event.part, *subnet.values()])
            self._plot(event.step, {f"{place}/{key}": value for key, value in asdict(event.result).items()})
        elif isinstance(event, Diverged):
            self.write("diverged", **asdict(event))
        elif isinstance(event, Checkpointed):
            self._write_checkpoint(event)
        self._follow(event)

    def write(self, event: str, **values: Any) -> None:
        """Write an entry into the logs."""
        for log in self._files:
            log.write(event, **values)

    def _open(self, step: int) -> None:
        """Open the logs after a step, and note the beginning of the session."""
        for path, name in self._logs.items():
            log = TrainingLog(path, step, name)
            self._opened.callback(log.close)
            self._files.append(log)
        if self._event_files is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._event_files), purge_step=step + 1)
            self._opened.callback(self._writer.close)
        word = "resumed" if step else "begun"
        self.write(word, step=step, steps=self._steps, name=self._name, nasctl=__version__, time=time.time())

    def _write_step(self, event: StepDone) -> None:
        values = {"loss": event.loss, "accuracy": event.accuracy, "rate": event.rate}
        speed = {"examples_per_second": round(event.examples_per_second, 1)}
        self.write("step", step=event.step, epoch=event.step / self._epoch, **values, **speed)
        self._plot(event.step, {f"train/{key}": value for key, value in {**values, **speed}.items()})

    def _write_checkpoint(self, event: Checkpointed) -> None:
        self.write("checkpoint", step=event.step)

    def _plot(self, step: int, values: dict[str, float | None]) -> None:
        """Write numbers for TensorBoard."""
        for name, value in values.items() if self._writer is not None else ():
            if value is not None:
                self._writer.add_scalar(name, value, step)

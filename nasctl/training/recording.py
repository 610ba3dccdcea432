"""The records of a training in progress: its log, its event files for TensorBoard, and its row in the store."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from nasctl.store.store import Store
from nasctl.store.training_table import TrainingRecord
from nasctl.training.events import Checkpointed, Diverged, Evaluated, Event, Outcome, Resumed, StepDone
from nasctl.training.training_log import TrainingLog
from nasctl.version import __version__

MOST_STEPS = 10_000  # steps of a training that its log holds; of longer ones, every second step or fewer


class Recording:
    """Records the events of a training.

    Args:
        record: The row of the training before this session.
        store: The store.
        logs: Files of logs, each with the name of the training if several trainings share the file, or "".
        event_files: Folder of event files for TensorBoard; None for none.
        steps: Steps of the whole training.
        epoch_steps: Steps of an epoch.
        follow: Called with each event after it is recorded.
    """

    def __init__(
        self,
        record: TrainingRecord,
        store: Store,
        logs: dict[Path, str],
        event_files: Path | None,
        steps: int,
        epoch_steps: int,
        follow: Callable[[Event], object],
    ) -> None:
        self._record, self._store, self._follow = record, store, follow
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
        return self._record.seconds + time.monotonic() - self._begun

    def event(self, event: Event) -> None:
        """Record an event."""
        if not self._files:
            self._open(event.step if isinstance(event, Resumed) else 0)
        if isinstance(event, StepDone):
            self.session_steps += 1
            if event.step % self._every == 0 or event.step == self._steps:
                self._write_step(event)
        elif isinstance(event, Evaluated):
            result = {"part": event.part, **asdict(event.result)}
            self._write("evaluated", step=event.step, epoch=event.epoch, **result)
            self._plot(event.step, {f"{event.part}/{key}": value for key, value in asdict(event.result).items()})
        elif isinstance(event, Diverged):
            self._write("diverged", **asdict(event))
        elif isinstance(event, Checkpointed):
            self._write("checkpoint", step=event.step)
            self.file("unfinished")
        self._follow(event)

    def file(self, state: str, outcome: Outcome | None = None) -> TrainingRecord:
        """File the row of the training, and return it."""
        results: Mapping[str, Any] = self._record.result
        if outcome is not None:
            rungs = dict(self._record.rungs)
            if not outcome.finished and (validation := outcome.results.get("validation")):
                rungs[str(outcome.step)] = asdict(validation)
            kept = {"rungs": rungs} if rungs else {}
            results = {part: asdict(result) for part, result in outcome.results.items()} | kept
        found = replace(self._record, state=state, result=results, seconds=round(self.seconds, 3))
        self._store.file_training(found)
        return found

    def finish(self, outcome: Outcome) -> TrainingRecord:
        """Record the end of the training, or of its first steps, and return its row."""
        state = "finished" if outcome.finished else "unfinished"
        if self._files:
            self._write(state, step=outcome.step, seconds=round(self.seconds, 3))
        return self.file(state, outcome)

    def _open(self, step: int) -> None:
        """File the row, open the logs after a step, and note the beginning of the session."""
        self.file("unfinished")
        for path, name in self._logs.items():
            log = TrainingLog(path, step, name)
            self._opened.callback(log.close)
            self._files.append(log)
        if self._event_files is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._event_files), purge_step=step + 1)
            self._opened.callback(self._writer.close)
        word = "resumed" if step else "begun"
        self._write(word, step=step, steps=self._steps, name=self._record.name, nasctl=__version__, time=time.time())

    def _write_step(self, event: StepDone) -> None:
        values = {"loss": event.loss, "accuracy": event.accuracy, "rate": event.rate}
        speed = {"examples_per_second": round(event.examples_per_second, 1)}
        self._write("step", step=event.step, epoch=event.step / self._epoch, **values, **speed)
        self._plot(event.step, {f"train/{key}": value for key, value in {**values, **speed}.items()})

    def _write(self, event: str, **values: Any) -> None:
        for log in self._files:
            log.write(event, **values)

    def _plot(self, step: int, values: dict[str, float | None]) -> None:
        """Write numbers for TensorBoard."""
        for name, value in values.items() if self._writer is not None else ():
            if value is not None:
                self._writer.add_scalar(name, value, step)

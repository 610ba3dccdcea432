"""The records of a training in progress: its log, its event files for TensorBoard, and its row in the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from nasctl.store.store import Store
from nasctl.store.training_table import TrainingRecord
from nasctl.training.event_log import EventLog
from nasctl.training.events import Checkpointed, Event, Outcome


class Recording(EventLog):
    """Records the events of a training in its log and in its row of the store.

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
        super().__init__(record.name, logs, event_files, steps, epoch_steps, follow, record.seconds)
        self._record, self._store = record, store

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
        if self.opened:
            self.write(state, step=outcome.step, seconds=round(self.seconds, 3))
        return self.file(state, outcome)

    def _open(self, step: int) -> None:
        self.file("unfinished")
        super()._open(step)

    def _write_checkpoint(self, event: Checkpointed) -> None:
        super()._write_checkpoint(event)
        self.file("unfinished")

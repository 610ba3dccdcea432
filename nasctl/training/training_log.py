"""The log of a training: one JSON object per line for steps, evaluations and events."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from nasctl.errors import NasctlError
from nasctl.system import files

LIMIT = 1 << 30  # maximum size of a log that is read, in bytes

Entry = Mapping[str, Any]


class TrainingLog:
    """A log that is appended to, line by line, so that a killed process loses at most the line in progress.

    Args:
        path: The file, which is created if it does not exist.
        step: The step that the training continues from. Entries of later steps are removed, so that the log of a
            resumed training has every step once.
        training: Name of the training, which every entry holds in a log of several trainings; "" for a log of its own.

    Raises:
        NasctlError: The file cannot be read or written.
    """

    def __init__(self, path: Path, step: int, training: str = "") -> None:
        self._path, self._training = path, {"training": training} if training else {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._cut(step)
            self._file: BinaryIO = path.open("ab")
        except OSError as error:
            raise _unwritable(path, error) from None

    def write(self, event: str, **values: Any) -> None:
        """Append an entry.

        Raises:
            NasctlError: The file cannot be written.
        """
        # JSON knows no infinite loss and no NaN.
        finite = {
            key: None if isinstance(one, float) and not math.isfinite(one) else one for key, one in values.items()
        }
        entry = {**self._training, "event": event, **finite}
        try:
            self._file.write((json.dumps(entry) + "\n").encode())
            self._file.flush()
        except OSError as error:
            raise _unwritable(self._path, error) from None

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _cut(self, step: int) -> None:
        """Remove the training's entries after a step, and those of evaluations that are repeated at this step."""
        if not self._path.exists():
            return
        kept: list[bytes] = []
        later: list[bytes] = []  # entries of this training after the last one that stays
        with self._path.open("rb") as file:
            for line, entry in _lines(file):
                if entry is None:
                    continue
                if entry.get("training") != self._training.get("training"):
                    kept.append(line)
                    continue
                if entry.get("event") == "evaluated" and entry.get("step") == step:
                    continue
                later.append(line)
                if reached(entry) <= step:
                    kept, later = [*kept, *later], []
        content = b"".join(kept)
        if len(content) != self._path.stat().st_size:
            files.write(self._path, content, "give another file with --log")


def reached(entry: Entry) -> int:
    """Return the step that a training is at after an entry; after a divergence, the step it goes back to."""
    return int(entry.get("back_to", entry.get("step", 0)))


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the entries of a log, without those that a divergence made void.

    Raises:
        NasctlError: The file cannot be read.
    """
    found: list[dict[str, Any]] = []
    try:
        with files.opened(path) as file:
            for _, entry in _lines(file):
                if entry is None:
                    continue
                if "back_to" in entry:
                    found = [one for one in found if reached(one) <= reached(entry) or "back_to" in one]
                found.append(entry)
    except OSError as error:
        raise NasctlError(
            f"the log {path} cannot be read ({error.strerror}); type the training's command again"
        ) from None
    return found


def _lines(file: BinaryIO) -> Iterator[tuple[bytes, dict[str, Any] | None]]:
    """Yield the lines of a log with their entries; None for a line that is incomplete or no JSON object."""
    for line in file:
        try:
            entry = json.loads(line) if line.endswith(b"\n") else None
        except (ValueError, RecursionError):
            entry = None
        yield line, entry if isinstance(entry, dict) else None


def _unwritable(path: Path, error: OSError) -> NasctlError:
    return NasctlError(
        f"the log {path} cannot be written ({error.strerror}); make room or mend its folder, and type the same command"
        " again"
    )

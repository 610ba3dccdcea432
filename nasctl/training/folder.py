"""The folder of a training, beside the store: its checkpoints, its log, its question and its trained weights."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nasctl.errors import NasctlError
from nasctl.problem.defaults import DEFAULT_STORE
from nasctl.system import files
from nasctl.system.file_lock import locked

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # names of trainings, which are names of folders
# The store of the command that runs. Spaces and objectives name trainings, and are made before any store is opened.
CURRENT_STORE: ContextVar[str] = ContextVar("store", default=DEFAULT_STORE)
QUESTION_LIMIT = 1 << 24  # maximum size of the question in bytes


def trainings_folder(store: Path | str) -> Path:
    """Return the folder of all trainings of a store: `nasctl-trainings` beside `nasctl.db`."""
    return Path(store).with_name(f"{Path(store).stem}-trainings")


def check_name(name: str) -> None:
    """Raise a `NasctlError` if no training can have that name."""
    if not NAME.fullmatch(name):
        raise NasctlError(
            f"a training cannot be called {name[:60]!r}: its folder has its name; use up to 100 letters, digits, '.',"
            " '_' and '-', and begin with a letter or digit"
        )


@dataclass(frozen=True)
class TrainingFolder:
    """The folder of one training.

    Args:
        path: The folder, which need not exist.
    """

    path: Path

    @property
    def log(self) -> Path:
        """The log, one JSON object per line."""
        return self.path / "log.jsonl"

    @property
    def weights(self) -> Path:
        """The trained weights, which exist once the training is finished."""
        return self.path / "weights.safetensors"

    @property
    def tensorboard(self) -> Path:
        """The folder of event files."""
        return self.path / "tensorboard"

    @property
    def checkpoints(self) -> list[Path]:
        """The checkpoints, the oldest first."""
        return sorted(self.path.glob("step-*.safetensors"))

    @contextmanager
    def held(self, question: Mapping[str, Any]) -> Iterator[None]:
        """Keep other processes from the training inside the block. The folder is created if it does not exist.

        Args:
            question: What is trained, as JSON. It is written into a new folder.

        Raises:
            NasctlError: Another process has the training, the folder is that of another question, or it cannot be
                written.
        """
        name = self.path.name
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise NasctlError(
                f"the folder {self.path} cannot be made ({error.strerror}); give another store with --store"
            ) from None
        conflict = f"training {name} is running in another process; wait for it, or give this one another --name"
        with locked(self.path / "lock", conflict, "mend its permissions, or give this training another --name"):
            self._check(question)
            yield

    def clear(self) -> None:
        """Remove the folder if it holds nothing but its question, and its parent if empty; call it inside `held`."""
        if {path.name for path in self.path.iterdir()} <= {"lock", "training.json"}:
            shutil.rmtree(self.path, ignore_errors=True)
            with suppress(OSError):  # it has other folders
                self.path.parent.rmdir()

    def delete(self) -> None:
        """Delete the folder with everything in it.

        Raises:
            NasctlError: Another process has the training, or a file cannot be deleted.
        """
        if not self.path.is_dir():
            return
        conflict = f"training {self.path.name} is running in another process; stop it first"
        with locked(self.path / "lock", conflict, "mend its permissions"):
            try:
                shutil.rmtree(self.path)
            except OSError as error:
                raise NasctlError(f"{error.filename} cannot be deleted ({error.strerror}); mend that") from None

    def _check(self, question: Mapping[str, Any]) -> None:
        """Refuse the folder of another question, and write the question into a new folder."""
        path = self.path / "training.json"
        if not path.exists():
            if found := [*self.checkpoints, *([self.weights] if self.weights.exists() else [])]:
                raise NasctlError(
                    f"{self.path} holds {found[-1].name} of an unknown training; remove the folder, or give this"
                    " training another --name"
                )
            files.write(path, json.dumps(question, indent=1) + "\n", "make room beside the store")
            return
        try:
            before = files.parsed(files.read(path, QUESTION_LIMIT))
        except (OSError, ValueError):
            before = None
        if not isinstance(before, dict):
            raise NasctlError(f"{path} is damaged; restore it, or give this training another --name")
        asked = json.loads(json.dumps(question))
        if other := sorted(key for key in {*before, *asked} if before.get(key) != asked.get(key)):
            raise NasctlError(
                f"{self.path} holds a training of another {' and '.join(other)}; give this one another --name"
            )

"""The files of a folder of images."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath


def files_of(folder: Path) -> list[str]:
    """Return the sorted paths of the files in a folder and its subfolders, relative to it; no pipes or dead links."""
    found = (Path(at, name) for at, _, names in os.walk(folder) for name in names)
    relative = (path.relative_to(folder).as_posix() for path in found if path.is_file())
    return sorted(name for name in relative if not is_junk(name))


def is_junk(name: str) -> bool:
    """Return whether a file is hidden, or left behind by an operating system."""
    return any(part == "__MACOSX" or part.startswith(".") for part in PurePosixPath(name).parts)

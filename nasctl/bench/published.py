"""Published benchmark files: where they are looked for, and how they are read."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

from nasctl.errors import NasctlError
from nasctl.system.files import read, unpacked

LIMIT = 1 << 28  # maximum size of a decompressed table in bytes


def data_folder() -> Path:
    """Return the folder of published tables: NASCTL_DATA, or `nasctl` in the user's data folder."""
    if given := os.environ.get("NASCTL_DATA"):
        return Path(given)
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "nasctl"


def published_path(file: str) -> Path:
    """Return the path of a published file that scripts read.

    Args:
        file: Path of the file within `data_folder()`.

    Raises:
        NasctlError: The file does not exist.
    """
    path = data_folder() / file
    if not path.exists():
        raise NasctlError(f"Cannot find {path}. Set NASCTL_DATA to a folder that holds {file}.")
    return path


def published(folder: str, file: str, name: str) -> str:
    """Return the text of a published file, which is compressed with gzip.

    Args:
        folder: Folder of the file within `data_folder()`.
        file: Name of the file.
        name: Name of the table in `nasctl data list`, for the message.

    Raises:
        NasctlError: The file does not exist, or is no gzip file of UTF-8 text.
    """
    path = data_folder() / folder / file
    try:
        return unpacked(read(path, LIMIT), LIMIT).decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise NasctlError(
            f"cannot read {path}: {reason}. The benchmark needs the table {name}: nasctl data list prints where to"
            f" download it, nasctl data import {name} FILE... puts it there. Or set NASCTL_DATA to a folder that holds"
            f" {folder}/{file}"
        ) from None


def rows(text: str) -> list[dict[str, str]]:
    """Return the rows of a CSV table with a header line."""
    return list(csv.DictReader(io.StringIO(text)))

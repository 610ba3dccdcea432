"""Published benchmark files: where they are looked for, and how they are read."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

from nasctl.errors import NasctlError
from nasctl.system.files import read, unpacked

LIMIT = 1 << 28  # maximum size of a decompressed table in bytes
DATA = "../shared/data"  # folder of published tables if NASCTL_DATA is not set


def published(folder: str, file: str, where: str) -> str:
    """Return the text of a published file, which is compressed with gzip.

    Args:
        folder: Folder of the file within NASCTL_DATA.
        file: Name of the file.
        where: Where to get the file, for the message.

    Raises:
        NasctlError: The file does not exist, or is no gzip file of UTF-8 text.
    """
    path = Path(os.environ.get("NASCTL_DATA", DATA)) / folder / file
    try:
        return unpacked(read(path, LIMIT), LIMIT).decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise NasctlError(
            f"cannot read {path}: {reason}. The benchmark needs {where}; set NASCTL_DATA to a folder that holds "
            f"{folder}/{file}"
        ) from None


def rows(text: str) -> list[dict[str, str]]:
    """Return the rows of a CSV table with a header line."""
    return list(csv.DictReader(io.StringIO(text)))

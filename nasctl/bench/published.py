"""Rows of published benchmark files."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

from nasctl.errors import NasctlError
from nasctl.system.files import read, unpacked

LIMIT = 1 << 28  # bytes of a published table, unpacked

DATA = "../shared/data"  # where published tables are looked for if NASCTL_DATA does not say


def published(folder: str, file: str, where: str) -> str:
    """The text of a published file, which is compressed with gzip.

    Args:
        folder: Its name within the folder of all data.
        file: Within that.
        where: Where to get it, for the message.

    Raises:
        NasctlError: It is not there, or is something else.
    """
    path = Path(os.environ.get("NASCTL_DATA", DATA)) / folder / file
    try:
        return unpacked(read(path, LIMIT), LIMIT).decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise NasctlError(
            f"{path} cannot be read ({reason}); the benchmark needs {where}: set NASCTL_DATA to a folder that holds "
            f"{folder}/{file}"
        ) from None


def rows(text: str) -> list[dict[str, str]]:
    """The rows of a table in CSV with a header line."""
    return list(csv.DictReader(io.StringIO(text)))

"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from nasctl.errors import NasctlError


def write(path: Path, content: bytes | str, instead: str = "name another file") -> None:
    """Write a file under another name first, so that a killed run leaves the old one or the new one.

    Args:
        path: Of the file, which may be there.
        content: Text is written as UTF-8.
        instead: What a person should do if it cannot be written.

    Raises:
        NasctlError: It cannot be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(content.encode() if isinstance(content, str) else content)
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise NasctlError(f"{path} cannot be written ({error.strerror}); {instead}") from None

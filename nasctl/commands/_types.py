"""Types of values on the command line: whole numbers such as 1e3, and files or folders to write."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import click

FACTORS = {"k": 1000, "m": 1_000_000}


class Count(click.IntRange):
    """A whole number, which may also be written as 1e3 or 2k."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and (
            match := re.fullmatch(
                r"([0-9]{1,9}(?:\.[0-9]{1,9})?(?:e\+?[0-9]{1,2})?)([km]?)", value.strip(), re.IGNORECASE
            )
        ):
            number = float(match[1]) * FACTORS.get(match[2].lower(), 1)
            value = int(number) if number.is_integer() else value
        return super().convert(value, param, ctx)


class OutputPath(click.Path):
    """A file to write, or a folder to write files into. A folder whose name ends in "/" is made."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not os.fspath(value):
            self.fail("the name is empty; name a file, or a folder", param, ctx)
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if os.fspath(value).endswith(("/", os.sep)):
            try:
                path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                self.fail(f"the folder {path} cannot be made ({error.strerror}); name another", param, ctx)
        return path


def file_in(output: Path | None, name: str) -> Path:
    """Return the file to write.

    Args:
        output: The file, or a folder; None for the current folder.
        name: Name of the file in a folder.
    """
    return Path(name) if output is None else output / name if output.is_dir() else output

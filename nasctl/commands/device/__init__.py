"""`nasctl device`; each command is a module of this package, imported when it is called."""

from __future__ import annotations

import re
from pathlib import Path

import click

from nasctl.commands import Commands
from nasctl.errors import NasctlError


@click.group(cls=Commands, package=__name__)
def command() -> None:
    """Latency tables: list them, look into them, make, import, fit and check them, and predict with them."""


def table_file(name: str, out: Path | None, fresh: bool = False) -> Path:
    """Where a table goes.

    Args:
        name: What the device is called.
        out: A file that a person asked for.
        fresh: Whether a file that is there is in the way.

    Raises:
        NasctlError: The device could not be named, or the file not be given, or it is in the way.
    """
    from nasctl.hardware.schema import NAME

    path = out or Path(f"{name}.json")
    if not re.fullmatch(NAME, name):
        raise NasctlError(f"{name!r} is no name for a device; make one of letters, digits, '.', '_' and '-'")
    if path.suffix != ".json":
        raise NasctlError(f"{path} has to end in .json, so that --device takes it for a file; name another with -o")
    if fresh and path.exists():
        raise NasctlError(f"{path} is there already; name another file with -o, or add --force")
    return path

"""`nasctl device`; each command is a module of this package, imported when it is called."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nasctl.commands import Commands
from nasctl.errors import NasctlError

if TYPE_CHECKING:
    from nasctl.hardware.profiling.profile import ProfileProgress
    from nasctl.hardware.table import LatencyTable

DOUBTFUL = 30.0  # % of mean absolute error of whole networks, which no table that was measured well has


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
    from nasctl.hardware.tables_schema import NAME

    path = out or Path(f"{name}.json")
    if not re.fullmatch(NAME, name):
        raise NasctlError(f"{name!r} is no name for a device; make one of letters, digits, '.', '_' and '-'")
    if path.suffix != ".json":
        raise NasctlError(f"{path} has to end in .json, so that --device takes it for a file; name another with -o")
    if fresh and path.exists():
        raise NasctlError(f"{path} is there already; name another file with -o, or add --force")
    return path


def shown(steps: Iterator[ProfileProgress]) -> Iterator[ProfileProgress]:
    """The same steps, with progress and time left on stderr."""
    from nasctl.system.terminal import duration, say

    start, live = time.monotonic(), sys.stderr.isatty()
    first: int | None = None  # what was done before
    shown = 0  # tenths
    for step in steps:
        first = step.done if first is None else first
        share = (step.total - step.done) / max(1, step.done - first)
        text = f"{step.done} of {step.total} visits, {step.noisy} too noisy yet"
        text += f", {duration((time.monotonic() - start) * share)} left" if step.done > first else ""
        if live:
            click.echo(f"\r{text:70}", err=True, nl=False)
        elif (tenths := 10 * step.done // step.total) > shown:
            say(text)
            shown = tenths
        yield step
    if live:
        click.echo(err=True)


def doubts(table: LatencyTable) -> list[str]:
    """What to tell a person about a table that is far from the whole networks that were measured with it."""
    if any(one.mape > DOUBTFUL for one in table.validation if one.against == "networks"):
        # A device that is busy all the time slows blocks down without making any of them noisy.
        return ["it is far from whole networks, as where the device was busier at times: measure again, all of it"]
    return []

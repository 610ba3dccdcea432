"""The group `nasctl device`; each command is a module of this package, imported when it is called."""

from __future__ import annotations

import re
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nasctl.commands import Commands
from nasctl.commands._types import file_in
from nasctl.errors import NasctlError

if TYPE_CHECKING:
    from nasctl.hardware.profiling.profile import ProfileProgress
    from nasctl.hardware.table import LatencyTable

REPORT_SECONDS = 30.0  # between two lines about a machine that is not quiet yet
MAX_PLAUSIBLE_MAPE = 30.0  # %; mean absolute error on whole networks above which a measurement is doubtful

wait_option = click.option(
    "--wait",
    type=click.FloatRange(0, min_open=True),
    metavar="MINUTES",
    help="Wait until the machine is quiet and no other nasctl works on it, at most so long; after that the command"
    " stops. Searches may begin during the wait.",
)


def _normal_precision(ctx: click.Context, option: click.Parameter, value: str) -> str:
    """Return the one name of a precision that a user gave."""
    from nasctl.hardware.precision import normal_precision

    return normal_precision(value)


precision_option = click.option(
    "--precision",
    default="float32",
    show_default=True,
    callback=_normal_precision,
    metavar="NAME",
    help="Precision of the computation, such as int8. Quantised layers of at most so many bits get the rows.",
)


@click.group(cls=Commands, package=__name__)
def command() -> None:
    """Latency tables: list, show, measure, import, fit and validate them, and predict with them."""


def table_file(name: str, out: Path | None, fresh: bool = False) -> Path:
    """Return the path of a new table.

    Args:
        name: Name of the device.
        out: File or folder that the user gave; None for NAME.json.
        fresh: Refuse a path that exists.

    Raises:
        NasctlError: The name is not valid, the path does not end in ".json", or it exists.
    """
    from nasctl.hardware.tables_schema import NAME

    path = file_in(out, f"{name}.json")
    if not re.fullmatch(NAME, name):
        raise NasctlError(f"{name!r} is no name for a device; make one of letters, digits, '.', '_' and '-'")
    if path.suffix != ".json":
        raise NasctlError(f"{path} has to end in .json, so that --device takes it for a file; name another with -o")
    if fresh and path.exists():
        raise NasctlError(f"{path} is there already; name another file with -o, or add --force")
    return path


def command_line(command: str, output_options: Sequence[str]) -> str:
    """Return the command line of this call without defaults, and without folders, which mean nothing elsewhere.

    Args:
        command: Name of the command, such as "nasctl device fit".
        output_options: Names of options that do not change the table.
    """
    ctx = click.get_current_context()
    words = [command]
    for option in ctx.command.params:
        value = ctx.params.get(str(option.name))
        if option.name in output_options or not value or (value == option.get_default(ctx) and option.name != "kind"):
            continue
        given = value if isinstance(value, tuple) else (value,)
        texts = [shlex.quote(one.name if isinstance(one, Path) else str(one)) for one in given]
        flag = [] if isinstance(option, click.Argument) else [f"--{str(option.name).replace('_', '-')}"]
        words += flag if value is True else [word for text in texts for word in (*flag, text)]
    return " ".join(words)


def with_progress(steps: Iterator[ProfileProgress]) -> Iterator[ProfileProgress]:
    """Yield the steps unchanged, and show the progress and the remaining time on stderr."""
    from nasctl.system.terminal import duration, say

    start, live = time.monotonic(), sys.stderr.isatty()
    first: int | None = None  # visits that were made before
    shown = 0  # tenths of the work, and rounds after it, at the last line on stderr
    for step in steps:
        first = step.done if first is None else first
        share = (step.total - step.done) / max(1, step.done - first)
        noisy = f"{step.noisy} too noisy{' so far' if step.done < step.total else ''}"
        text = f"{step.done} of {step.total} visits, {noisy}"
        text += f", {duration((time.monotonic() - start) * share)} left" if first < step.done < step.total else ""
        text += f", timed again: round {step.again} of at most {step.rounds}" if step.again else ""
        if live:
            click.echo(f"\r{text:70}", err=True, nl=False)
        elif (tenths := 10 * step.done // step.total + step.again) > shown:
            say(text)
            shown = tenths
        yield step
    if live:
        click.echo(err=True)


def accuracy_warnings(table: LatencyTable) -> list[str]:
    """Return warnings about a table whose predictions are far from its own measured whole networks."""
    if any(one.mape > MAX_PLAUSIBLE_MAPE for one in table.validation if one.against == "networks"):
        # A device that is busy for a long time slows blocks down without making their timings disagree.
        return [
            "predictions are far from whole networks; the device may have been busier at times: measure all of it again"
        ]
    return []


@contextmanager
def quiet_machine_lock(minutes: float | None, accept_noise: bool) -> Iterator[str]:
    """Keep other measurements and searches of nasctl off this machine inside the block, which begins when it is quiet.

    Searches may run until then.

    Args:
        minutes: Longest wait for others to end and for the machine to be quiet; None to wait for neither.
        accept_noise: Measure all the same if the machine is not quiet, also beside searches.

    Yields:
        A remark on searches that run beside the block, "" if there are none.

    Raises:
        NasctlError: Another nasctl has not ended in time, or the machine was not quiet in time, and noise is not
            accepted, or the other nasctl measures.
    """
    from nasctl.system.machine_lock import exclusive_machine, machine_users
    from nasctl.system.terminal import duration, say

    end = time.monotonic() + 60 * (minutes or 0.0)
    if minutes is not None:
        wait_until_quiet(60 * minutes, accept_noise)
    left = max(end - time.monotonic(), 0.0) if minutes is not None else 0.0

    def waiting() -> None:
        users = machine_users() or "another nasctl on this machine"
        say(f"waiting for {users} to end, at most {duration(left)}")

    with exclusive_machine(left, waiting, accept_noise) as searched:
        if searched:
            users = machine_users() or "a search"
            say(f"Warning: {users} is running; measuring beside it, because of --accept-noise")
        yield "another nasctl was running" if searched else ""


def wait_until_quiet(seconds: float, accept_noise: bool) -> None:
    """Wait until the machine is quiet.

    Args:
        seconds: Longest wait.
        accept_noise: Whether a machine that is not quiet is measured all the same.

    Raises:
        NasctlError: It was not quiet in time, and noise is not accepted.
    """
    from nasctl.system import quiet_machine
    from nasctl.system.machine_lock import machine_users
    from nasctl.system.terminal import duration, say

    said = [float("inf")]

    def report(used: float, left: float) -> None:
        if said[-1] - left > REPORT_SECONDS:
            users = machine_users()
            say(
                f"waiting: others keep {used:.1f} processors busy{f', {users} among them' if users else ''};"
                f" {duration(left)} left"
            )
            said.append(left)

    if quiet_machine.wait_until_quiet(seconds, report=report):
        return
    text = f"the machine was not quiet within {duration(seconds)}"
    if not accept_noise:
        users = machine_users()
        beside = f"what runs beside ({users})" if users else "what runs beside"
        raise NasctlError(f"Cannot measure: {text}. Stop {beside}, wait longer, or add --accept-noise.")
    say(f"{text}; measuring all the same, because of --accept-noise")

"""The command `nasctl device profile`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nasctl.commands._types import OutputPath
from nasctl.commands.device import accuracy_warnings, quiet_machine_lock, table_file, wait_option, with_progress
from nasctl.hardware.runtimes import runtime_names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nasctl.hardware.precision import Precision
    from nasctl.hardware.profiling.profile import Host
    from nasctl.hardware.profiling.timings import Timings
    from nasctl.hardware.table import LatencyTable

QUIET = (
    "quiet the machine and type the same command again: only these are measured",
    "if it was busier when it began, begin again with --force",
    "--wait 60 waits until it is quiet, and --accept-noise makes the table all the same",
)
BUSY = "{}: {} while the blocks were timed, so all latencies may be too high."  # begins with the `NOISE` of tables
QUIET_WAIT = 60.0  # minutes to wait for a quiet machine that the command for a second measurement names


@click.command("profile")
@click.option(
    "--space",
    "specs",
    multiple=True,
    required=True,
    metavar="SPEC",
    help="Space to measure. Repeatable.",
)
@click.option("--name", required=True, help="Name of the device.")
@click.option(
    "--runtime",
    default="torch",
    show_default=True,
    type=click.Choice(runtime_names()),
    help="Runtime to time; openvino needs the extra of nasctl of that name.",
)
@click.option(
    "--torch-device",
    default="cpu",
    show_default=True,
    metavar="DEVICE",
    help="Device of torch, such as cuda:0.",
)
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1), help="Threads of the runtime.")
@click.option(
    "--precision",
    default="float32",
    show_default=True,
    type=click.Choice(["float32", "float16", "bfloat16", "int8"]),
    help="Precision of weights and activations: float16 and bfloat16 with torch, int8 with onnxruntime and openvino.",
)
@click.option("--batch", default=1, show_default=True, type=click.IntRange(1, 65536), help="Examples per batch.")
@click.option(
    "--seconds",
    default=0.5,
    show_default=True,
    type=click.FloatRange(0, 60, min_open=True),
    envvar="NASCTL_SECONDS",
    show_envvar=True,
    help="Total time of the repetitions of each block, in seconds.",
)
@wait_option
@click.option(
    "--accept-noise",
    is_flag=True,
    help="Make the table even if timings of a block disagree too much to be believed, a search is running on the"
    " machine, or --wait ends before it is quiet; the table says how noisy it is. Other noise is warned of without this"
    " option. Two commands never measure at once.",
)
@click.option("-o", "--out", type=OutputPath(), help="Table file.  [default: NAME.json]")
@click.option("--force", is_flag=True, help="Overwrite an existing table, and discard earlier measurements.")
@click.pass_context
def command(
    ctx: click.Context,
    specs: tuple[str, ...],
    name: str,
    runtime: str,
    torch_device: str,
    threads: int,
    batch: int,
    precision: Precision,
    seconds: float,
    wait: float | None,
    accept_noise: bool,
    out: Path | None,
    force: bool,
) -> None:
    """Measure every distinct block of the spaces, and some whole networks, on this machine.

    Half of the networks calibrate the latency of blocks inside a network; the other half gives the table's error.

    Each block and network is timed several times. The measurements are kept in FILE.part until the table is complete,
    and the same command resumes an interrupted profile. Nothing else should run on the machine.

    In int8, blocks and networks are quantised by ONNX Runtime's static quantiser, as by `nasctl export --int8`. Ranges
    come from random inputs, because latency does not depend on values.
    """
    import shutil
    from dataclasses import replace

    from nasctl import registry
    from nasctl.hardware.profiling.profile import Host, Profile
    from nasctl.hardware.table import NOISE
    from nasctl.system.quiet_machine import BusyMeter
    from nasctl.system.terminal import say

    spaces = {registry.normal("spaces", s): registry.create("spaces", s) for s in registry.split(specs)}
    path = table_file(name, out, fresh=not force)
    host = Host(name, runtime, torch_device, threads, batch, precision, seconds)
    table = host.table(_command_line(host, spaces, accept_noise))
    folder = path.with_name(f"{path.name}.part")
    with quiet_machine_lock(wait, accept_noise) as beside:
        timings = _open_timings(folder, table, force)
        profile = Profile(spaces)
        try:
            with BusyMeter() as meter:
                for _step in with_progress(profile.measured(host, timings, folder)):
                    pass
        except KeyboardInterrupt:
            say(f"\nstopped; {folder} has what was measured, the same command goes on")
            ctx.exit(130)
        noisy = profile.too_noisy(timings)
        if noisy and not accept_noise:
            say("too noisy to be believed, so there is no table yet:", *(f"  {key}" for key in noisy), *QUIET)
            ctx.exit(1)
        table = profile.table(timings, table, accept_noise)
        if noise := " and ".join(filter(None, (beside, meter.remark))):
            table = replace(table, inferred=(*table.inferred, BUSY.format(NOISE, noise)))
        table.save(path)
        shutil.rmtree(folder, ignore_errors=True)
    say(f"{len(table.blocks)} blocks in {path}: {table.accuracy()}")
    say(*table.inferred, *accuracy_warnings(table))
    if noise:
        again = _quiet_command(_command_line(host, spaces, False), out and path, wait)
        say(f"This measures all of it again once the machine is quiet: {again}")
    say(f"next: nasctl device show {shlex.quote(str(path))}")
    say(*(f"      nasctl search {shlex.quote(spec)} --device {shlex.quote(str(path))}" for spec in spaces))


def _quiet_command(line: str, path: Path | None, wait: float | None) -> str:
    """Return the command that measures a table again on a quiet machine.

    Args:
        line: Command line of the table.
        path: Table file; None for the default one.
        wait: Minutes that the user has waited for a quiet machine; None for no wait.
    """
    file = [] if path is None else ["-o", str(path)]
    minutes = f"{max(QUIET_WAIT, wait or 0.0):g}"
    return f"{line} {shlex.join([*file, '--force', '--wait', minutes])}"


def _command_line(host: Host, spaces: Iterable[str], accept_noise: bool) -> str:
    """Return the command line that makes a table, without defaults."""
    default = type(host)(host.name)
    options = (
        ("--runtime", host.runtime, default.runtime),
        ("--torch-device", host.torch_device, default.torch_device),
        ("--threads", host.threads, default.threads),
        ("--batch", host.batch, default.batch),
        ("--precision", host.precision, default.precision),
        ("--seconds", host.seconds, default.seconds),
    )
    flags = [f"{option} {value}" for option, value, usual in options if value != usual]
    words = ["nasctl device profile --name", host.name, *(f"--space {spec}" for spec in spaces), *flags]
    return " ".join([*words, *["--accept-noise"] * accept_noise])


def _open_timings(folder: Path, empty: LatencyTable, force: bool) -> Timings:
    """Open the timings of an earlier run with the same setting, or begin new ones.

    Raises:
        NasctlError: The earlier run had another setting, or the folder cannot be used.
    """
    import shutil

    from nasctl.errors import NasctlError
    from nasctl.hardware.profiling.profile import SETTING
    from nasctl.hardware.profiling.timings import Timings

    try:
        if force and folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NasctlError(f"{folder} cannot be used ({error.strerror}); name another file with -o") from None
    return Timings(folder / "visits.jsonl", {field: getattr(empty, field) for field in SETTING})

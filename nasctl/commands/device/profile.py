"""`nasctl device profile`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from nasctl.commands.device import table_file

if TYPE_CHECKING:
    from nasctl.hardware.profile import Step
    from nasctl.hardware.table import LatencyTable

# % of mean absolute error of whole networks that no quiet machine has.
DOUBTFUL = 30.0
EVERY = 20  # measurements between two lines of progress where there is no terminal


@click.command("profile")
@click.option("--space", "specs", multiple=True, required=True, metavar="SPEC", help="Measure its blocks. Repeatable.")
@click.option("--name", required=True, help="What to call the device.")
@click.option(
    "--runtime",
    default="torch",
    show_default=True,
    type=click.Choice(["torch", "onnxruntime"]),
    help="What runs blocks.",
)
@click.option("--torch-device", default="cpu", show_default=True, metavar="DEVICE", help="cpu, or such as cuda:0.")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1), help="That the runtime may use.")
@click.option(
    "--precision",
    default="float32",
    show_default=True,
    type=click.Choice(["float32", "float16", "bfloat16"]),
    help="Of weights and activations; ONNX Runtime takes float32.",
)
@click.option("--batch", default=1, show_default=True, type=click.IntRange(1, 65536), help="Examples at a time.")
@click.option(
    "--seconds",
    default=0.5,
    show_default=True,
    type=click.FloatRange(0, 60, min_open=True),
    envvar="NASCTL_SECONDS",
    show_envvar=True,
    help="How long to repeat each block.",
)
@click.option("-o", "--out", type=click.Path(dir_okay=False, path_type=Path), help="The table.  [default: NAME.json]")
@click.option("--force", is_flag=True, help="Write over a table of another device or setting.")
@click.pass_context
def command(
    ctx: click.Context,
    specs: tuple[str, ...],
    name: str,
    runtime: Literal["torch", "onnxruntime"],
    torch_device: str,
    threads: int,
    batch: int,
    precision: Literal["float32", "float16", "bfloat16"],
    seconds: float,
    out: Path | None,
    force: bool,
) -> None:
    """Measure every distinct block of the spaces on this machine, then whole networks.

    From half of the networks follows what blocks cost within one; the other half says how good the table is.

    The file is written after every block: the same command goes on where it was stopped.
    """
    from dataclasses import replace

    from nasctl import registry
    from nasctl.hardware.profile import Host, alone
    from nasctl.hardware.profile import profile as measured
    from nasctl.report import say

    spaces = {registry.normal("spaces", s): registry.create("spaces", s) for s in registry.split(specs)}
    path = table_file(name, out)
    defaults: dict[str, tuple[str | int, str | int]] = {
        "runtime": (runtime, "torch"),
        "torch-device": (torch_device, "cpu"),
        "threads": (threads, 1),
        "batch": (batch, 1),
        "precision": (precision, "float32"),
    }
    flags = [f"--{flag} {value}" for flag, (value, usual) in defaults.items() if value != usual]
    host = Host(name, runtime, torch_device, threads, batch, precision, seconds)
    refused: tuple[str, ...] = ()
    with alone():
        table = _begun(path, host.table(""), force)
        # A table has one context, so all spaces that it is for are measured together.
        spaces |= {spec: registry.create("spaces", spec) for spec in table.spaces}
        typed = ["nasctl device profile --name", name, *(f"--space {spec}" for spec in spaces), *flags]
        table = replace(table, command=" ".join(typed))
        table.save(path)  # so that a file that cannot be written is found out now
        try:
            for step in _shown(measured(spaces, host, table)):
                step.table.save(path)
                table, refused = step.table, step.refused
        except KeyboardInterrupt:
            say(f"\nstopped; {path} has what was measured, the same command goes on")
            ctx.exit(130)
    if refused:
        say(f"too noisy to be believed, or measured while the machine's speed changed, and not in {path}:")
        say(*(f"  {key}" for key in refused))
        say("quiet the machine and type the same command again: only these are measured")
        say("if it was busier when it began, begin again with --force")
        ctx.exit(1)
    say(f"{len(table.blocks)} blocks in {path}: {table.accuracy()}")
    if any(one.mape > DOUBTFUL for one in table.validation if one.against == "networks"):
        # A machine that is busy all the time slows blocks down without making any of them noisy.
        say("it is far from whole networks, as where a machine was busier at times: measure again with --force")
    say(f"next: nasctl device show {path}")


def _begun(path: Path, empty: LatencyTable, force: bool) -> LatencyTable:
    """The table to go on with: what is in the file if it was made in the same setting.

    Raises:
        NasctlError: The file is something else, which is left as it is.
    """
    from dataclasses import replace

    from nasctl.errors import NasctlError
    from nasctl.hardware.profile import SETTING
    from nasctl.hardware.table import LatencyTable

    if force or not path.exists():
        return empty
    found = LatencyTable.load(str(path.absolute()))
    for field in SETTING:
        if getattr(found, field) != getattr(empty, field):
            ours, theirs = (getattr(one, field) for one in (empty, found))
            raise NasctlError(
                f"{path} has the {field} {theirs!r}, not {ours!r}; name another file with -o, or add --force"
            )
    return replace(found, date=empty.date)


def _shown(steps: Iterator[Step]) -> Iterator[Step]:
    """The same steps, with progress and time left on stderr."""
    import sys
    import time

    from nasctl.report import duration, say

    start, live, last = time.monotonic(), sys.stderr.isatty(), -1
    for number, step in enumerate(steps, 1):
        left = duration((time.monotonic() - start) / number * (step.total - step.done))
        text = f"{step.done} of {step.total} measured, {len(step.refused)} refused, {left} left"
        if live:
            click.echo(f"\r{text:70}", err=True, nl=step.done == step.total)
        elif step.done != last and (number % EVERY == 0 or step.done == step.total):
            say(text)
        last = step.done
        yield step

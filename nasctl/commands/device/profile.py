"""`nasctl device profile`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from nasctl.commands.device import doubts, shown, table_file

if TYPE_CHECKING:
    from nasctl.hardware.profiling.timings import Timings
    from nasctl.hardware.table import LatencyTable


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

    Each is visited several times. What was measured stands in FILE.part until the table is made: the same command goes
    on where it was stopped.
    """
    import shutil

    from nasctl import registry
    from nasctl.hardware.profiling.profile import Host, Profile
    from nasctl.system.machine_lock import exclusive_machine
    from nasctl.system.terminal import say

    spaces = {registry.normal("spaces", s): registry.create("spaces", s) for s in registry.split(specs)}
    path = table_file(name, out, fresh=not force)
    host, usual = Host(name, runtime, torch_device, threads, batch, precision, seconds), Host(name)
    fields = ("runtime", "torch_device", "threads", "batch", "precision")
    changed = {field: getattr(host, field) for field in fields if getattr(host, field) != getattr(usual, field)}
    flags = [f"--{field.replace('_', '-')} {value}" for field, value in changed.items()]
    typed = ["nasctl device profile --name", name, *(f"--space {spec}" for spec in spaces), *flags]
    table = host.table(" ".join(typed))
    folder = path.with_name(f"{path.name}.part")
    with exclusive_machine():
        visits = _begun(folder, table, force)
        profile = Profile(spaces)
        try:
            for _step in shown(profile.measured(host, visits, folder)):
                pass
        except KeyboardInterrupt:
            say(f"\nstopped; {folder} has what was measured, the same command goes on")
            ctx.exit(130)
        if refused := profile.refused(visits):
            say("too noisy to be believed, so there is no table yet:")
            say(*(f"  {key}" for key in refused))
            say("quiet the machine and type the same command again: only these are measured")
            say("if it was busier when it began, begin again with --force")
            ctx.exit(1)
        table = profile.table(visits, table)
        table.save(path)
        shutil.rmtree(folder, ignore_errors=True)
    say(f"{len(table.blocks)} blocks in {path}: {table.accuracy()}")
    say(*doubts(table))
    say(f"next: nasctl device show {path}")


def _begun(folder: Path, empty: LatencyTable, force: bool) -> Timings:
    """What was measured before in the same setting, to go on with.

    Raises:
        NasctlError: It was another setting, or the folder cannot be used.
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

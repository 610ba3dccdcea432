"""The command `nasctl device kit`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option(
    "--space",
    "specs",
    multiple=True,
    required=True,
    metavar="SPEC",
    help="Space to write. Repeatable.",
)
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="A new folder.")
@click.option(
    "--networks",
    default=40,
    show_default=True,
    type=click.IntRange(0),
    help="Whole random networks of each space, to fit the latency of blocks inside a network and to validate.",
)
@click.option("--only-networks", is_flag=True, help="Write no blocks: a few networks are enough for `device adapt`.")
@click.option("--batch", default=1, show_default=True, type=click.IntRange(1, 65536), help="Examples per batch.")
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0, 2**32 - 1), help="Seed of networks and weights."
)
def command(specs: tuple[str, ...], out: Path, networks: int, only_networks: bool, batch: int, seed: int) -> None:
    """Write blocks and whole networks of search spaces as ONNX files, to be timed on another device.

    README.txt in the folder says how to time them with ONNX Runtime, TensorRT, OpenVINO, TensorFlow Lite and ncnn, and
    time_kit.py does it and writes the times for `nasctl device import`. Weights are random and shared by all files. The
    same command resumes an interrupted kit, and a larger --networks adds to an existing one.
    """
    from collections import deque

    from nasctl import registry
    from nasctl.errors import NasctlError
    from nasctl.hardware.profiling import kit, kit_text
    from nasctl.system.terminal import counted, quantity, say

    spaces = list(dict.fromkeys(registry.normal("spaces", spec) for spec in registry.split(specs)))
    made = kit.open_kit(out, spaces, batch, seed)
    wanted = kit.kit_models(spaces, networks, seed, not only_networks)
    wholes = sum(model.genome is not None for model in wanted.values())
    if not wanted:
        raise NasctlError("the kit would have no file; leave --only-networks out, or give --networks")
    say(f"{len(wanted) - wholes} blocks and {wholes} whole networks")
    made = deque(counted(kit.write_models(out, made, wanted), len(wanted), "files"), maxlen=1).pop()
    size = sum(path.stat().st_size for path in out.iterdir() if path.is_file())
    say(f"{len(made.models)} models in {out}, {quantity(size, 'bytes')}; {out / kit_text.README} says how to time them")
    blocks = any(model.genome is None for model in made.models.values())
    say(f"next, on the device: python3 {kit_text.SCRIPT}")
    times = out / "times.csv"
    say(f"then: nasctl device {f'import {out}' if blocks else 'adapt'} --csv {times} --name NAME")

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
@click.option("--batch", default=1, show_default=True, type=click.IntRange(1, 65536), help="Examples per batch.")
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0, 2**32 - 1), help="Seed of networks and weights."
)
def command(specs: tuple[str, ...], out: Path, networks: int, batch: int, seed: int) -> None:
    """Write blocks and whole networks of search spaces as ONNX files, to be timed on another device.

    README.txt in the folder says how to time them, and how to write the times for `nasctl device import`. The same
    command resumes an interrupted kit, and a larger --networks adds to an existing one.
    """
    from collections import deque

    from nasctl import registry
    from nasctl.hardware.profiling import kit
    from nasctl.system.terminal import counted, quantity, say

    spaces = list(dict.fromkeys(registry.normal("spaces", spec) for spec in registry.split(specs)))
    made = kit.open_kit(out, spaces, batch, seed)
    wanted = kit.kit_models(spaces, networks, seed)
    wholes = sum(model.genome is not None for model in wanted.values())
    size = 4 * sum(network.params for network in kit.kit_networks(wanted.values()).values())  # float32
    say(f"{len(wanted) - wholes} blocks and {wholes} whole networks, about {quantity(size, 'bytes')} in all")
    made = deque(counted(kit.write_models(out, made, wanted), len(wanted), "files"), maxlen=1).pop()
    size = sum((out / file).stat().st_size for file in made.models if (out / file).is_file())
    say(f"{len(made.models)} files in {out}, {quantity(size, 'bytes')}; {out / kit.README} says how to time them")
    say(f"next: nasctl device import {out} --csv times.csv --name NAME")

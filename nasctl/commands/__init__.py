"""One module for each command of the command line; it binds `command` and imports what costs time when called."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from nasctl.candidate import Setting
    from nasctl.values import SearchSpace

store_option = click.option(
    "--store",
    default="nasctl.db",
    envvar="NASCTL_STORE",
    show_default=True,
    show_envvar=True,
    type=click.Path(dir_okay=True),  # what is no file is refused with a sentence of the store's own
    help="SQLite file that holds measurements and runs.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
run_option = click.option("--run", metavar="NAME", help="Name of a run, or its beginning.  [default: the newest]")
space_option = click.option("--space", required=True, metavar="SPEC", help="Search space: NAME or NAME:key=value,...")
fidelity_option = click.option(
    "--fidelity",
    default="",
    metavar="LEVEL",
    help="What metrics are computed at: full, balanced, fast, or bounds such as size=64,cells=1,batch=32,repeats=3."
    "  [default: balanced]",
)
data_option = click.option(
    "--data",
    default="dead-leaves",
    show_default=True,
    metavar="SOURCE",
    help="Examples for metrics: dead-leaves, noise, a folder or zip of images by class, a CIFAR-10 archive, or .npz.",
)
weights_seed = click.IntRange(0, 2**32 - 1)
device_option = click.option("--device", "devices", multiple=True, metavar="NAME", help="Device; see `device list`.")


def setting(space: SearchSpace, fidelity: str, data: str, seed: int, torch_device: str = "cpu") -> Setting:
    """What measured values depend on, as a person put it.

    Raises:
        NasctlError: There is no such level of fidelity, or no such data.
    """
    from nasctl.candidate import Setting
    from nasctl.data import source
    from nasctl.values import Fidelity, levels, usual

    chosen = Fidelity.parse(fidelity, levels(space)) if fidelity else usual(space)
    return Setting(source(data), chosen, seed, torch_device)

"""One module for each command of the command line; it binds `command` and imports what costs time when called."""

from __future__ import annotations

import click

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
    metavar="BOUNDS",
    help="What metrics are computed at: `full`, or bounds such as size=64,repeats=1.  [default: the space's own]",
)
batch_option = click.option(
    "--batch",
    default=16,
    show_default=True,
    type=click.IntRange(2, 65536),
    help="Examples in the batch of the metrics.",
)
weights_seed = click.IntRange(0, 2**63 - 1)  # what torch takes
device_option = click.option("--device", "devices", multiple=True, metavar="NAME", help="Device; see `device list`.")

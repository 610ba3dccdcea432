"""`nasctl data import`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("import")
@click.argument("name")
@click.argument("paths", nargs=-1, required=True, metavar="FILE...", type=click.Path(exists=True, path_type=Path))
def command(name: str, paths: tuple[Path, ...]) -> None:
    """Import the published table NAME from the FILEs that you downloaded, or from a folder that holds them.

    `nasctl data list` prints the names and the addresses. The table is written to the folder that NASCTL_DATA names, by
    default to your data folder, after its checksum was compared.
    """
    from nasctl.bench.public_data import import_data
    from nasctl.system.terminal import say

    written = import_data(name, paths)
    say(f"imported {name}: {written}")

"""The command `nasctl report`."""

from __future__ import annotations

from pathlib import Path

import click

from nasctl.commands import run_option, store_option
from nasctl.commands._types import OutputPath, file_in


@click.command()
@run_option
@click.option(
    "-o",
    "--output",
    type=OutputPath(),
    metavar="FILE",
    help="Page to write.  [default: RUN.html]",
)
@click.option("--force", is_flag=True, help="Write over an existing page.")
@store_option
def command(run: str | None, output: Path | None, force: bool, store: str) -> None:
    """Write a run as one self-contained HTML page.

    The page begins with the recommended network, drawn as a network, and the front as a picture and a table. Trained
    candidates, published networks, convergence, rank correlations, devices and their errors, failures, settings and
    the command that repeats the run follow. It loads nothing from elsewhere, and is readable on a phone.
    """
    from nasctl.errors import NasctlError
    from nasctl.report.html import page
    from nasctl.report.summary import summarize_run
    from nasctl.store.store import Store
    from nasctl.system.files import write
    from nasctl.system.terminal import say

    opened = Store.reading(store)
    name, _ = opened.run(run)
    path = file_in(output, f"{name}.html")
    if path.suffix.lower() not in (".html", ".htm"):
        raise NasctlError(f"the report is an HTML page; name the file '{path.stem or name}.html'")
    if path.exists() and not force:
        raise NasctlError(f"{path} exists; give another name, or replace it with --force")
    found = summarize_run(opened, name)
    if not found.visited:
        raise NasctlError(f"run {name} has evaluated nothing yet, so there is nothing to report; start it again")
    write(path, page(found))
    say(f"the report of run {name} is in:")
    click.echo(path)

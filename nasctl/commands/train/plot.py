"""`nasctl train plot`."""

from __future__ import annotations

from pathlib import Path

import click

from nasctl.commands import force_option, store_option
from nasctl.commands._types import OutputPath, file_in


@click.command("plot")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option(
    "-o",
    "--output",
    type=OutputPath(),
    help="Picture to write, as .png, .svg or .pdf.  [default: NAME.png]",
)
@force_option
@store_option
def command(names: tuple[str, ...], output: Path | None, force: bool, store: str) -> None:
    """Draw the learning curves of trainings: losses, and validation accuracy with its standard error."""
    from nasctl.drawing.canvas import check_free
    from nasctl.store.store import Store
    from nasctl.system.terminal import say
    from nasctl.training.curves import curve, draw_curves
    from nasctl.training.folder import TrainingFolder, trainings_folder
    from nasctl.training.training_log import read_log

    opened = Store.reading(store)
    whole = list(dict.fromkeys(opened.training(name).name for name in names))
    path = file_in(output, f"{whole[0]}.png")
    check_free(path, force)
    draw_curves(path, [curve(name, read_log(TrainingFolder(trainings_folder(store) / name).log)) for name in whole])
    say("the learning curves are in:")
    click.echo(path)

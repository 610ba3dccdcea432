"""Options that `nasctl train` and `nasctl supernet train` share: data, recipe, devices and reports."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from nasctl.commands._groups import OptionGroup
from nasctl.commands._setting import SEED_RANGE
from nasctl.commands._workers import visible_gpus
from nasctl.errors import NasctlError

if TYPE_CHECKING:
    from nasctl.training.devices import Devices
    from nasctl.training.progress_report import Reporting
    from nasctl.training.request import RecipeOptions


def options_by_name(**values: Any) -> dict[str, Any]:
    """Return the values of a group of options by their names."""
    return values


def _build_recipe(**values: Any) -> RecipeOptions:
    from nasctl.training.request import RecipeOptions

    return RecipeOptions(**values)


def _build_reporting(**values: Any) -> Reporting:
    from nasctl.training.progress_report import Reporting

    return Reporting(**values)


def _build_devices(gpus: str, **values: Any) -> Devices:
    from nasctl.training.devices import Devices

    return Devices.asked(gpus=visible_gpus(gpus) if gpus else (), **values)


def _name(ctx: click.Context, parameter: click.Parameter, value: str) -> str:
    """Return the name of a training.

    Raises:
        NasctlError: An empty name was typed, as by an unset variable of a shell.
    """
    if not value and ctx.get_parameter_source(str(parameter.name)) is ParameterSource.COMMANDLINE:
        raise NasctlError("Cannot name a training '': a name has 1 to 100 characters. Give one, or leave --name out.")
    return value


data_options = (
    click.option(
        "--data",
        metavar="SOURCE",
        help="Labelled data: digits, a folder or zip of images by class, a CIFAR archive, or .npz; for language"
        " models a .txt or .txt.gz, or a folder of them.",
    ),
    click.option(
        "--split",
        default="0.8,0.1,0.1",
        show_default=True,
        metavar="SHARES",
        help="Shares of training, validation and test examples, where the data does not split itself.",
    ),
    click.option("--split-seed", default=0, show_default=True, type=SEED_RANGE, help="Seed of the split."),
)
name_option = click.option(
    "--name",
    default="",
    metavar="NAME",
    callback=_name,
    help="Name for the training.  [default: a digest]",
)
recipe_group = OptionGroup(
    "recipe",
    "Recipe",
    _build_recipe,
    (
        click.option(
            "--recipe",
            "file",
            metavar="FILE",
            type=click.Path(path_type=Path),
            help="TOML file with fields of the recipe.  [default: the usual recipe of the task]",
        ),
        click.option("--epochs", type=click.IntRange(1, 1_000_000), help="Passes over the training examples."),
        click.option(
            "--set",
            "fields",
            multiple=True,
            metavar="FIELD=VALUE",
            help="Replace one field of the recipe, such as rate=0.05. Repeatable.",
        ),
    ),
)
machine_group = OptionGroup(
    "machine",
    "Machine",
    options_by_name,
    (
        click.option(
            "--seed", default=0, show_default=True, type=SEED_RANGE, help="Seed of weights, order and augmentation."
        ),
        click.option(
            "--threads",
            default=1,
            show_default=True,
            type=click.IntRange(1, 1024),
            help="Threads of torch; the last digits of weights depend on it.",
        ),
    ),
)
devices_group = OptionGroup(
    "devices",
    "Devices",
    _build_devices,
    (
        click.option("--torch-device", default="cpu", show_default=True, help="Device to train on: cpu or cuda:0."),
        click.option("--gpus", default="", metavar="LIST", help="GPUs to train on together, such as 0,1."),
        click.option(
            "--processes",
            type=click.IntRange(1, 4096),
            metavar="N",
            help="Processes that train together on CPUs or a cluster; each has a share of every batch.  [default: 1]",
        ),
        click.option("--cluster", default="", metavar="ray[:ADDRESS]", help="Train by --processes of a Ray cluster."),
    ),
)
reporting_group = OptionGroup(
    "reporting",
    "Work and reports",
    _build_reporting,
    (
        click.option(
            "--data-workers",
            "workers",
            type=click.IntRange(0, 256),
            help="Processes that read and decode images; results do not depend on it.  [default: a core each, up to 4;"
            " none for data in memory]",
        ),
        click.option(
            "--log",
            metavar="FILE",
            type=click.Path(path_type=Path),
            help="Write the JSON lines of the log here too.  [default: log.jsonl in the training's folder]",
        ),
        click.option(
            "--tensorboard", is_flag=True, help="Write event files for TensorBoard into the training's folder."
        ),
    ),
)

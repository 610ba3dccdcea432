"""Options that set the conditions of measurements."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from nasctl.commands._complete import complete
from nasctl.commands._groups import OptionGroup

if TYPE_CHECKING:
    from nasctl.data import Data
    from nasctl.search.request import SettingOptions

SEED_RANGE = click.IntRange(0, 2**32 - 1)  # the seeds that torch accepts

weights_seed_option = click.option(
    "--weights-seed", default=0, show_default=True, type=SEED_RANGE, help="Seed of weights and data."
)

sample_seed_option = click.option(
    "--seed", "weights_seed", default=0, show_default=True, type=SEED_RANGE, help="Seed of weights, data and --sample."
)

fidelity_option = click.option(
    "--fidelity",
    default="",
    metavar="LEVEL",
    help="Fidelity of metrics: full, balanced, fast, or bounds such as size=64,cells=1,batch=32,repeats=3."
    "  [default: balanced]",
)

data_option = click.option(
    "--data",
    metavar="SOURCE",
    shell_complete=complete("data"),
    help="Examples for metrics: dead-leaves, digits, noise, a folder or zip of images by class, a CIFAR-10 archive,"
    " or .npz; for spaces of text tokens, a .txt or .txt.gz, or a folder of them.  [default: dead-leaves, or tokens]",
)

torch_device_option = click.option(
    "--torch-device", default="cpu", show_default=True, help="Device that metrics are computed on: cpu or cuda:0."
)

threads_option = click.option(
    "--threads",
    default=1,
    show_default=True,
    type=click.IntRange(1, 1024),
    help="Threads of torch in each worker; the last digits of values depend on it.",
)


def _build(**values: Any) -> SettingOptions:
    from nasctl.search.request import SettingOptions

    return SettingOptions(**values)


def setting_group(*options: Callable[[Any], Any]) -> OptionGroup:
    """Return the group of these options, which a command receives as the parameter `setting`."""
    return OptionGroup("setting", "Measurement", _build, options)


def say_data(data: Data) -> None:
    """Print on stderr what was found in the data of a file or folder; nothing about drawn data."""
    from nasctl.data import Summarized
    from nasctl.system.terminal import say

    if isinstance(data, Summarized):
        say(*data.summary.lines())

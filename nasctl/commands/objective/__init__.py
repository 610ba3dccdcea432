"""The commands of `nasctl objective`, one module each, and the options and the task that they share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from nasctl.commands import Commands

if TYPE_CHECKING:
    from nasctl.evaluation.task import Task
    from nasctl.search.request import SettingOptions


DEFAULT_METRICS = ("synflow", "snip", "grad_norm", "jacov", "naswot")  # as far as they apply to the space

objective_option = click.option(
    "-o",
    "--objective",
    "objectives",
    multiple=True,
    metavar="SPEC",
    help="Objective; repeatable, or A,B. all stands for every objective that applies to the space and needs no option."
    f"  [default: those of {','.join(DEFAULT_METRICS)} that apply to the space]",
)


@click.group(cls=Commands, package=__name__)
def command() -> None:
    """List objectives, score architectures, and compare metrics with known accuracies."""


def untrained_metrics() -> list[str]:
    """Return the names of all objectives that need no option, except those that train or repeat another one."""
    from nasctl.analysis import score

    return [name for name in score.expand_specs(["all"]) if name not in ("lga", "size", "bitops")]


def objective_task(
    space: str,
    objectives: Sequence[str],
    setting: SettingOptions,
    here: bool = True,
    also: Sequence[str] = (),
) -> Task:
    """Return the task that a command measures, and say on stderr what is in its data.

    Args:
        space: Spec of the space.
        objectives: Specs of the objectives; without any, the default metrics that apply to the space.
        setting: Options that select fidelity, data, seed and device.
        here: True if modules are measured in this process, so that the device has to exist here.
        also: Specs of further objectives, left out where they do not apply to the space.

    Raises:
        NasctlError: A name is unknown, an objective does not apply to the space, or torch has no such device.
    """
    from nasctl import registry
    from nasctl.analysis import score
    from nasctl.candidates.objective import closed_form
    from nasctl.commands._setting import say_data
    from nasctl.evaluation.task import Task
    from nasctl.search import applicability
    from nasctl.search.data_options import spare_outputs
    from nasctl.system.terminal import say

    made = registry.create("spaces", space)
    metrics = score.make_metrics([*(objectives or DEFAULT_METRICS), *also], space)
    if objectives and "all" not in registry.split(objectives):
        applicability.refuse_inapplicable(made, metrics)
    inapplicable = applicability.inapplicable_reasons(made, metrics)
    metrics = {name: metric for name, metric in metrics.items() if name not in inapplicable}
    task = Task(made, metrics, setting.setting(made))
    say_data(task.setting.data)
    if setting.data is not None:
        say(*spare_outputs(space, setting.data, task.setting.data))
    if here and not all(map(closed_form, task.metrics.values())):
        from nasctl.candidates.determinism import usable_device

        usable_device(setting.torch_device)
    return task

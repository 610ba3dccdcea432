"""`nasctl objective`: what can be optimised or recorded, and how far it can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from nasctl.commands import Commands

if TYPE_CHECKING:
    from nasctl.evaluation.task import Task
    from nasctl.search.request import SettingOptions


DEFAULT_METRICS = ("synflow", "snip", "grad_norm", "jacov", "naswot")

objective_option = click.option(
    "-o",
    "--objective",
    "objectives",
    multiple=True,
    metavar="SPEC",
    help="Repeatable, or A,B; all is every one that suits the space and needs no option."
    f"  [default: those of {','.join(DEFAULT_METRICS)} that suit the space]",
)


@click.group(cls=Commands, package=__name__)
def command() -> None:
    """List objectives, score architectures with them, and see what they are worth."""


def objective_task(
    space: str,
    objectives: Sequence[str],
    setting: SettingOptions,
    here: bool = True,
    also: Sequence[str] = (),
) -> Task:
    """What is measured, as a person put it.

    Raises:
        NasctlError: Something of that name does not exist or says nothing of the space, or torch has no such device.
    """
    from nasctl import registry
    from nasctl.analysis import score
    from nasctl.candidates.objective import closed_form
    from nasctl.evaluation.task import Task
    from nasctl.search import applicability

    made = registry.create("spaces", space)
    metrics = score.make_metrics([*(objectives or DEFAULT_METRICS), *also], space)
    if objectives and "all" not in registry.split(objectives):
        applicability.refuse_inapplicable(made, metrics)
    out = applicability.inapplicable_reasons(made, metrics)
    metrics = {name: metric for name, metric in metrics.items() if name not in out}
    task = Task(made, metrics, setting.setting(made))
    if here and not all(map(closed_form, task.metrics.values())):
        from nasctl.candidates.determinism import usable_device

        usable_device(setting.torch_device)
    return task

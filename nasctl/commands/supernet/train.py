"""`nasctl supernet train`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from nasctl.commands import SPACE_HELP, json_option, store_option
from nasctl.commands._complete import complete
from nasctl.commands._groups import GroupedCommand, OptionGroup
from nasctl.commands._training_options import (
    data_options,
    devices_group,
    machine_group,
    name_option,
    options_by_name,
    recipe_group,
    reporting_group,
)
from nasctl.errors import NasctlError

if TYPE_CHECKING:
    from nasctl.supernets.request import SupernetRequest
    from nasctl.supernets.running import SupernetJob
    from nasctl.training.devices import Devices
    from nasctl.training.progress_report import Reporting
    from nasctl.training.request import RecipeOptions

request_group = OptionGroup(
    "request",
    "Space, strategy and data",
    options_by_name,
    (
        click.option("--space", metavar="SPEC", help=SPACE_HELP, shell_complete=complete("spaces")),
        click.option(
            "--strategy",
            default="sandwich",
            show_default=True,
            metavar="SPEC",
            help="Networks that a step trains: NAME, or NAME:key=value,... with its options.",
            shell_complete=complete("strategies"),
        ),
        click.option(
            "--share",
            type=click.Choice(["entangled", "blocks"]),
            help="Weights that networks share: slices of one tensor across kinds of blocks, or of one for each kind of"
            " block.  [default: by space]",
        ),
        *data_options,
        click.option(
            "--from",
            "start",
            metavar="FILE|NAME",
            type=click.Path(path_type=Path),
            shell_complete=complete("weights"),
            help="Begin with the weights of one network: a training of the store, or a state dict of the largest"
            " network, .pt or .safetensors; or with those of a supernet. The strategy elastic needs a network, and"
            " perturbation a supernet.  [default: drawn from the seed]",
        ),
        name_option,
    ),
)


@click.command(cls=GroupedCommand, groups=(request_group, recipe_group, machine_group, devices_group, reporting_group))
@request_group
@recipe_group
@machine_group
@devices_group
@reporting_group
@click.option("--print-recipe", is_flag=True, help="Print the recipe as TOML with every field, and train nothing.")
@click.option("--dry-run", is_flag=True, help="Say what would be trained, and train nothing.")
@store_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    request: dict[str, Any],
    recipe: RecipeOptions,
    machine: dict[str, Any],
    devices: Devices,
    reporting: Reporting,
    print_recipe: bool,
    dry_run: bool,
    store: str,
    as_json: bool,
) -> None:
    """Train a supernet: one set of weights for all networks of a search space.

    The same command resumes a training that was stopped, in the same bits. Checkpoints, log and weights are in a folder
    beside the store. Largest, smallest and some random networks are evaluated after each epoch; --set evaluate=5
    evaluates less often.
    """
    if request["space"] is None:
        raise NasctlError("say which search space: --space SPEC, one of `nasctl space list`")
    if print_recipe:
        click.echo(_recipe_text(request["space"], recipe), nl=False)
        return
    if request["data"] is None:
        raise NasctlError("say what to train on: --data digits, or a folder of images by class")
    from nasctl.store.store import Store
    from nasctl.supernets.request import SupernetRequest
    from nasctl.supernets.starting_slices import starting_file

    if request["start"] is not None:
        request["start"] = starting_file(request["start"], Store.reading(store))
    asked = SupernetRequest(**request, **machine, recipe=recipe, torch_device=devices.trained_on, world=devices.world)
    given = ctx.get_parameter_source("store") is ParameterSource.COMMANDLINE
    options = f" --store {shlex.quote(store)}" if given else ""
    if dry_run:
        ctx.exit(_dry_run(asked, devices, options, as_json))
    ctx.exit(_train(asked, devices, reporting, store, options, as_json))


def _recipe_text(space: str, recipe: RecipeOptions) -> str:
    """Return the recipe as TOML, for the task of a space."""
    from nasctl.supernets.request import task_asked

    return recipe.recipe(task_asked(space)).toml()


def _dry_run(request: SupernetRequest, devices: Devices, options: str, as_json: bool) -> int:
    """Say what would be trained, and return the exit code."""
    import json

    from nasctl.supernets.learner import SupernetLearner
    from nasctl.supernets.report import SupernetReport
    from nasctl.supernets.running import size_text
    from nasctl.system.terminal import say
    from nasctl.training.events import Ranks
    from nasctl.training.training import Work

    if not devices.reports:
        return 0
    supernet, data = request.supernet()
    say(*SupernetReport(supernet, data, options).opening(dry_run=True))
    learner = SupernetLearner(supernet.problem(data, Work(workers=0, start=request.start)), Ranks())
    learner.strategy.passes(0)  # some strategies refuse a space or a length of training there
    say(size_text(learner))
    if as_json:
        judged = {name: list(genome) for name, genome in learner.judged.items()}
        params = sum(one.numel() for one in learner.weights.tensors.values())
        click.echo(json.dumps({"supernet": supernet.name, "params": params, "judged": judged, "spec": supernet.spec}))
    return 0


def _train(
    request: SupernetRequest, devices: Devices, reporting: Reporting, store: str, options: str, as_json: bool
) -> int:
    """Train, report it to the user, and return the exit code."""
    import json

    from nasctl.supernets.report import SupernetReport
    from nasctl.supernets.rows import supernet_row
    from nasctl.supernets.running import SupernetJob
    from nasctl.system.signals import exit_code
    from nasctl.system.terminal import say
    from nasctl.training.distributed import silent
    from nasctl.training.folder import TrainingFolder

    reporting.check()
    supernet, data = request.supernet()
    if not devices.reports:
        return _train_silently(SupernetJob(supernet, data, store, reporting.work(request.start, silent)), devices)
    report = SupernetReport(supernet, data, options)
    say(*report.opening(), *request.doubts(data))
    try:
        with report:
            job = SupernetJob(supernet, data, store, reporting.work(request.start, report.note))
            session = devices.train(job, report.follow)
    except KeyboardInterrupt as stop:
        say(*report.interrupted(shlex.join(["nasctl", *sys.argv[1:]])))
        return exit_code(stop)
    row = supernet_row(TrainingFolder(session.folder))
    say(*report.closing(session, row))
    if as_json:
        click.echo(json.dumps(row))
    return 0


def _train_silently(job: SupernetJob, devices: Devices) -> int:
    """Take part in a training that another process of torchrun reports, and return the exit code."""
    from nasctl.system.signals import exit_code

    try:
        devices.train(job)
    except KeyboardInterrupt as stop:
        return exit_code(stop)
    return 0

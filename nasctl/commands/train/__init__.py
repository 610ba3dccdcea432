"""`nasctl train`: the training itself, and commands about trainings, a module for each."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from nasctl.commands import Commands, json_option, store_option
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
from nasctl.commands.train._shortlist import ShortlistOptions, shortlist_group, train_shortlist
from nasctl.errors import NasctlError

if TYPE_CHECKING:
    from nasctl.training.devices import Devices
    from nasctl.training.progress_report import Reporting
    from nasctl.training.request import RecipeOptions, TrainRequest


class _Train(Commands, GroupedCommand):
    """A group of commands that is a command itself, with headings for its options."""


request_group = OptionGroup(
    "request",
    "Network and data",
    options_by_name,
    (
        click.option(
            "--arch",
            "archs",
            multiple=True,
            metavar="ID|FILE",
            help="An id, its unique beginning, or a genome such as 0,3,1; or a file: of nasctl export --format json, or"
            " with an id or genome per line. Repeatable.",
        ),
        click.option(
            "--space", metavar="SPEC", help="Search space of a genome, or of an id that the store cannot resolve."
        ),
        *data_options,
        click.option(
            "--from",
            "start",
            metavar="FILE|NAME",
            type=click.Path(path_type=Path),
            shell_complete=complete("weights"),
            help="Begin with the weights of a state dict, .pt or .safetensors, of a training, or of a supernet, whose"
            " slices each network gets.  [default: drawn from the seed]",
        ),
        name_option,
    ),
)


@click.group(
    cls=_Train,
    package=__name__,
    groups=(request_group, shortlist_group, recipe_group, machine_group, devices_group, reporting_group),
    invoke_without_command=True,
    subcommand_metavar="[COMMAND ...]",
)
@request_group
@shortlist_group
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
    shortlist: ShortlistOptions,
    recipe: RecipeOptions,
    machine: dict[str, Any],
    devices: Devices,
    reporting: Reporting,
    print_recipe: bool,
    dry_run: bool,
    store: str,
    as_json: bool,
) -> None:
    """Train networks on labelled data, or list, show, plot and delete trainings.

    `nasctl train --arch ID --data photos` trains a network, and --run NAME the best candidates of a run. The same
    command resumes a training that was stopped, in the same bits. Checkpoints, log and weights are in a folder beside
    the store.
    """
    if ctx.invoked_subcommand is not None:
        _refuse_options(ctx)
        return
    shortlist.check(request)
    if print_recipe:
        click.echo(_recipe_text(request, shortlist, recipe, store), nl=False)
        return
    machine |= {"torch_device": devices.trained_on, "world": devices.world}
    asked = _request(request, shortlist, recipe, machine)
    if shortlist.run is not None:
        if devices.world > 1:
            raise NasctlError(
                "Cannot train a shortlist by several processes. Leave out --gpus, --processes and --cluster."
            )
        given = ctx.get_parameter_source("store") is ParameterSource.COMMANDLINE
        options = f" --store {shlex.quote(store)}" if given else ""
        ctx.exit(train_shortlist(shortlist, asked, reporting, dry_run, store, options, as_json))
    if not devices.reports:
        ctx.exit(0 if dry_run else _train_silently(asked, devices, reporting, store))
    ctx.exit(_train(ctx, asked, devices, reporting, dry_run, store, as_json))


def _refuse_options(ctx: click.Context) -> None:
    """Refuse options of a training in front of another command, which would have no effect.

    Raises:
        NasctlError: There is one.
    """
    typed = [
        one for one in ctx.command.params if ctx.get_parameter_source(str(one.name)) is ParameterSource.COMMANDLINE
    ]
    if typed:
        option, word = max(typed[0].opts, key=len), ctx.invoked_subcommand
        raise NasctlError(f"{option} before {word!r} belongs to a training; write options after nasctl train {word}")


def _request(
    request: dict[str, Any], shortlist: ShortlistOptions, recipe: RecipeOptions, machine: dict[str, Any]
) -> TrainRequest:
    """Return the request of the options.

    Raises:
        NasctlError: An architecture or the data is missing.
    """
    from nasctl.training.request import TrainRequest

    if not request["archs"] and shortlist.run is None:
        raise NasctlError(
            "say what to train: --arch ID, such as one of nasctl pareto show, or --run NAME, and --data SOURCE"
        )
    if request["data"] is None:
        raise NasctlError("say what to train on: --data digits, or a folder of images by class")
    return TrainRequest(**request, **machine, recipe=recipe)


def _recipe_text(request: dict[str, Any], shortlist: ShortlistOptions, recipe: RecipeOptions, store: str) -> str:
    """Return the recipe as TOML: that of the space's task, or of classes where no space is given.

    With a network and data it is the recipe of its training, which may follow from the number of training examples.
    """
    from nasctl.store.store import Store
    from nasctl.training.request import TrainRequest, task_asked

    opened = Store.reading(store)
    if request["archs"] and request["data"] is not None:
        return TrainRequest(**request | {"start": None}, recipe=recipe).trainings(opened)[0][0].recipe.toml()
    space = request["space"] if shortlist.run is None else opened.run(shortlist.run)[1].space
    return recipe.recipe(task_asked(request["archs"], opened, space)).toml()


def _train_silently(request: TrainRequest, devices: Devices, reporting: Reporting, store: str) -> int:
    """Take part in trainings that another process of torchrun reports, and return the exit code."""
    from nasctl.store.store import Store
    from nasctl.supernets.starting_slices import located
    from nasctl.system.signals import exit_code
    from nasctl.training.distributed import Job, silent
    from nasctl.training.events import TrainingDiverged

    request = located(request, Store.reading(store))
    for training, data in request.trainings(Store.reading(store)):
        start = request.start_of(training.trained_space, training.genome)
        try:
            devices.train(Job(training, data, store, reporting.work(start, silent)))
        except KeyboardInterrupt as stop:
            return exit_code(stop)
        except TrainingDiverged:
            continue
    return 0


def _train(
    ctx: click.Context,
    request: TrainRequest,
    devices: Devices,
    reporting: Reporting,
    dry_run: bool,
    store: str,
    as_json: bool,
) -> int:
    """Train each network of the request, and return the exit code."""
    import json

    from nasctl.store.store import Store
    from nasctl.supernets.starting_slices import located, start_doubts
    from nasctl.system.signals import exit_code
    from nasctl.system.terminal import say
    from nasctl.training.distributed import Job
    from nasctl.training.events import TrainingDiverged
    from nasctl.training.report import Report, effort_lines
    from nasctl.training.training import check_trainable, planned_row

    given = ctx.get_parameter_source("store") is ParameterSource.COMMANDLINE
    options = f" --store {shlex.quote(store)}" if given else ""
    request = located(request, Store.reading(store))
    asked = request.trainings(Store.reading(store))
    starts = [request.start_of(training.trained_space, training.genome) for training, _ in asked]
    reporting.check()
    for (training, data), start in zip(asked, starts, strict=True):  # before the first one is trained
        check_trainable(training, data, start)
    rows, failures = [], []
    say(*start_doubts(request, asked[0][1]), *effort_lines(asked))
    for number, (training, data) in enumerate(asked):
        report = Report(training, data, options)
        say(*report.opening(number == 0, dry_run))
        if dry_run:
            rows.append(planned_row(training, Store.reading(store)))
            continue
        try:
            with report:
                work = reporting.work(starts[number], report.note)
                trained = devices.train(Job(training, data, store, work), report.follow)
        except KeyboardInterrupt as stop:
            say(*report.interrupted(shlex.join(["nasctl", *sys.argv[1:]])))
            return exit_code(stop)
        except TrainingDiverged as failure:
            failures.append(str(failure))
            say(str(failure))
            continue
        say(*report.closing(trained))
        rows.append(trained.row())
    if as_json:
        click.echo(json.dumps(rows))
    if failures:
        raise NasctlError(f"{len(failures)} of {len(asked)} trainings diverged")
    return 0

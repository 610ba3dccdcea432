"""`nasctl supernet select`."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from nasctl.commands import json_option, store_option
from nasctl.commands._complete import complete
from nasctl.commands._groups import GroupedCommand
from nasctl.commands._setting import (
    SEED_RANGE,
    data_option,
    fidelity_option,
    setting_group,
    threads_option,
    torch_device_option,
)
from nasctl.commands._workers import WorkerChoice, worker_group
from nasctl.errors import NasctlError

if TYPE_CHECKING:
    from nasctl.analysis.subnet_selection import Selected
    from nasctl.evaluation.task import Task
    from nasctl.search.request import SettingOptions
    from nasctl.supernets.trained_supernet import TrainedSupernet

METHODS = ("argmax", "top-samples", "perturbation")

WORKERS = frozenset({"workers", "gpus", "cluster", "candidate_time", "candidate_memory"})

SETTING = frozenset({"fidelity", "data", "torch_device"})  # of objectives

DRAWS = frozenset({"samples", "uniform"})

setting_options = setting_group(fidelity_option, data_option, torch_device_option, threads_option)


@click.command("select", cls=GroupedCommand, groups=(setting_options, worker_group))
@click.argument("name", shell_complete=complete("supernets"))
@click.option(
    "--by",
    "method",
    default=METHODS[0],
    show_default=True,
    type=click.Choice(METHODS),
    help="argmax: what the strategy has learned. top-samples: the best of networks drawn from its distribution."
    " perturbation: each gene keeps the choice whose removal hurts most.",
)
@click.option(
    "--samples",
    type=click.IntRange(1, 1_000_000),
    metavar="N",
    help="Networks that top-samples draws and judges.  [default: 100]",
)
@click.option("--uniform", is_flag=True, help="Let top-samples draw uniformly, whatever the strategy has learned.")
@click.option(
    "-o",
    "--objective",
    "objectives",
    multiple=True,
    metavar="SPEC",
    help="Objective that judges; repeatable. Ranks of several are added up.  [default: the validation loss with the"
    " weights of the supernet]",
)
@click.option(
    "--images",
    default=500,
    show_default=True,
    type=click.IntRange(1),
    help="Validation images, or rows of words, of that loss; the supernet's file has 1,000 at most.",
)
@click.option("--seed", default=0, show_default=True, type=SEED_RANGE, help="Seed of draws, or of the order of genes.")
@setting_options
@worker_group
@store_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    name: str,
    method: str,
    samples: int | None,
    uniform: bool,
    objectives: tuple[str, ...],
    images: int,
    seed: int,
    setting: SettingOptions,
    workers: WorkerChoice,
    store: str,
    as_json: bool,
) -> None:
    """Select one network of the supernet NAME, and print its id.

    NAME may also be the path of the weights. Measurements of top-samples are kept in the store, so the same command
    continues where it was stopped. perturbation measures networks that sum several choices of each gene: with the
    shared weights, or by the objectives of -o without training, as the searcher prune does.
    """
    import json

    from nasctl.architectures import ids
    from nasctl.problem.strategy import ScoresGenomes
    from nasctl.supernets.folder import weights_of
    from nasctl.supernets.report import blind_lines
    from nasctl.supernets.trained_supernet import TrainedSupernet
    from nasctl.system.terminal import say

    _refuse_unused(ctx, method, bool(objectives))
    supernet = TrainedSupernet(weights_of(name, store))
    if method == "argmax":
        from nasctl.analysis.subnet_selection import select_learned

        found = select_learned(supernet)
    elif method == "top-samples":
        own = isinstance(supernet.strategy, ScoresGenomes)  # and then there is no loss
        judges = objectives or (() if own else (f"loss@{name},images={images}",))
        found = _best_sample(supernet, samples or 100, uniform, judges, seed, setting, workers, store)
    else:
        found = _by_removal(supernet, objectives, images, seed, setting)
    arch = ids.encode(supernet.facts.space, supernet.space.genes, found.genome)
    given = ctx.get_parameter_source("store") is ParameterSource.COMMANDLINE
    options = f" --store {shlex.quote(store)}" if given else ""
    say(*found.about, *blind_lines(supernet.space.network(found.genome), name, options))
    say(*_next(arch, supernet, name, options))
    if as_json:
        facts = {"supernet": supernet.name, "by": method, "id": arch, "genome": list(found.genome), **found.facts}
        click.echo(json.dumps(facts))
        return
    click.echo(arch)


def _refuse_unused(ctx: click.Context, method: str, judged: bool) -> None:
    """Raise an error if an option is given that has no effect on the selection.

    Args:
        ctx: The command as typed.
        method: The method of the selection.
        judged: Whether objectives judge in place of the weights of the supernet.
    """
    images = frozenset({"images"}) if judged else frozenset[str]()
    unused = {
        "argmax": WORKERS | SETTING | DRAWS | {"objectives", "images", "seed", "threads"},
        "top-samples": images,
        "perturbation": WORKERS | DRAWS | (images or SETTING),
    }[method]
    for option in ctx.command.params:
        if option.name in unused and ctx.get_parameter_source(option.name) is ParameterSource.COMMANDLINE:
            given = " with -o" if judged and option.name in images else ""
            raise NasctlError(f"Cannot use {option.opts[0]} with --by {method}{given}: it has no effect. Leave it out.")


def _best_sample(
    supernet: TrainedSupernet,
    samples: int,
    uniform: bool,
    judges: tuple[str, ...],
    seed: int,
    setting: SettingOptions,
    workers: WorkerChoice,
    store: str,
) -> Selected:
    """Return the best network of several draws; by the strategy's own scores without judges."""
    from dataclasses import replace

    from nasctl.analysis.subnet_selection import select_sample
    from nasctl.store.store import Store
    from nasctl.system.terminal import counted
    from nasctl.workers import open_executor

    if not judges:
        return select_sample(supernet, samples, seed, None, Store(store), uniform=uniform)
    who = workers.options(setting.threads)
    setting = replace(setting, torch_device=workers.torch_device(setting.torch_device))
    task = _task(supernet, judges, setting, who.in_process)
    with open_executor(who, task) as executor:
        return select_sample(
            supernet,
            samples,
            seed,
            task,
            Store(store),
            uniform=uniform,
            executor=executor,
            follow=lambda rows, number: counted(rows, number, "judged"),
        )


def _by_removal(
    supernet: TrainedSupernet, objectives: tuple[str, ...], images: int, seed: int, setting: SettingOptions
) -> Selected:
    """Return the network that is left when choices are removed."""
    from nasctl.analysis.subnet_selection import select_by_removal
    from nasctl.candidates.determinism import deterministic_torch
    from nasctl.system.terminal import counted

    task = _task(supernet, objectives, setting, True) if objectives else None
    with deterministic_torch(setting.threads):
        return select_by_removal(
            supernet, seed, task, images, follow=lambda rounds, number: counted(rounds, number, "decided")
        )


def _task(supernet: TrainedSupernet, objectives: tuple[str, ...], setting: SettingOptions, here: bool) -> Task:
    """Return the task that measures objectives of the networks of a supernet."""
    from nasctl.commands.objective import objective_task

    return objective_task(supernet.facts.space, objectives, setting, here)


def _next(arch: str, supernet: TrainedSupernet, name: str, options: str) -> list[str]:
    """Return the next commands to type. Weights that learned choices too are trained further before an export."""
    from nasctl.problem.strategy import LearnsChoices

    commands = [f"train --arch {arch} --data DATA", f"train --arch {arch} --data DATA --from {shlex.quote(name)}"]
    if not isinstance(supernet.strategy, LearnsChoices):
        commands.insert(0, f"export --arch {arch} --weights {shlex.quote(name)}")
    return [f"{'      ' if place else 'next: '}nasctl {one}{options}" for place, one in enumerate(commands)]


__all__ = ["command"]

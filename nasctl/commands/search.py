"""`nasctl search`."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from nasctl.commands import (
    data_option,
    device_option,
    fidelity_option,
    json_option,
    space_option,
    store_option,
    weights_seed,
)
from nasctl.commands._config import Configured, config_option, option_values, set_option
from nasctl.commands._workers import crew, crew_options, duration, place, threads_option

if TYPE_CHECKING:
    from nasctl.search.run import Run
    from nasctl.workers import WorkerOptions

# What is optimised unless a person says otherwise: the first three that say something of the space.
METRICS = ("synflow", "jacov", "snip", "hidden_covariance", "head_confidence")


@click.command(cls=Configured)
@space_option
@device_option
@click.option(
    "-o",
    "--objective",
    "objectives",
    multiple=True,
    metavar="SPEC",
    help="What to optimise; repeat it or separate by commas.  [default: the first three of "
    f"{','.join(METRICS)} that suit the space, and macs without a device]",
)
@click.option("--record", multiple=True, metavar="SPEC", help="What to measure besides, such as params,macs.")
@click.option(
    "-c",
    "--constraint",
    "constraints",
    multiple=True,
    metavar="BOUND",
    help='What a candidate has to hold: "latency<=20", "params<=5M", or "macs<=60%" of the space\'s maximum.',
)
@click.option("--searcher", default="guided", show_default=True, metavar="SPEC", help="Search algorithm.")
@click.option(
    "--budget",
    default=300,
    show_default=True,
    type=click.IntRange(1),
    envvar="NASCTL_BUDGET",
    show_envvar=True,
    help="Different candidates to evaluate.",
)
@click.option("--time", "limit", metavar="TIME", help="Stop after this long: 90 (seconds), 5m or 2h.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the searcher.")
@click.option("--weights-seed", "noise", default=0, show_default=True, type=weights_seed, help="Of weights and data.")
@fidelity_option
@data_option
@click.option("--torch-device", default="cpu", show_default=True, help="Where metrics are computed: cpu or cuda:0.")
@crew_options
@threads_option
@click.option("--run", "called", default="", metavar="NAME", help="A name of your own for the run.")
@store_option
@json_option
@config_option
@set_option
@click.pass_context
def command(
    ctx: click.Context,
    space: str,
    devices: tuple[str, ...],
    objectives: tuple[str, ...],
    record: tuple[str, ...],
    constraints: tuple[str, ...],
    searcher: str,
    budget: int,
    limit: str | None,
    seed: int,
    noise: int,
    fidelity: str,
    data: str | None,
    torch_device: str,
    workers: str | None,
    threads: int,
    gpus: str,
    cluster: str,
    candidate_time: str | None,
    candidate_memory: str | None,
    called: str,
    store: str,
    as_json: bool,
) -> None:
    """Search SPACE for networks that trade training-free metrics against cost on a device.

    The same command resumes where it was stopped, or goes on with a larger budget.
    """
    from nasctl import registry
    from nasctl.candidates.setting import make_setting
    from nasctl.search.applicability import first_applicable
    from nasctl.search.run import Run

    named, made = registry.listed(devices), registry.create("spaces", space)
    chosen = registry.split(objectives) or [*first_applicable(made, METRICS, 3), *(() if named else ("macs",))]
    chosen = [spec for spec in chosen if spec != "latency" or not named]  # that of every device is added
    chosen += [f"latency@{device}" for device in named]
    who = crew(workers, threads, gpus, cluster, candidate_time, candidate_memory)
    where = place(torch_device, gpus)
    measured = make_setting(made, fidelity, data, noise, where, threads)
    also = tuple(registry.split(record))
    run = Run(space, tuple(dict.fromkeys(chosen)), searcher, seed, measured, also, constraints, called, option_values(ctx))
    seconds = None if limit is None else duration(limit)
    given = ctx.get_parameter_source("store") is ParameterSource.COMMANDLINE
    options = f" --store {shlex.quote(store)}" if given else ""
    ctx.exit(_searched(run, who, store, options, budget, seconds, as_json))


def _searched(
    run: Run, who: WorkerOptions, store: str, options: str, budget: int, limit: float | None, as_json: bool
) -> int:
    """Run the search, show its progress, and say how it ended; returns the exit code."""
    from nasctl.search.watch import Watch
    from nasctl.store.store import Store
    from nasctl.system.signals import exit_code
    from nasctl.system.terminal import say
    from nasctl.workers import open_executor

    warnings = run.check(here=who.one)  # before anything is written
    watch = Watch(run, budget, limit, options)
    with open_executor(who, run.task) as executor:
        made = Store(store)
        say(*watch.opening(), *(f"Warning: {sentence}" for sentence in warnings))
        try:
            watch.follow(made, executor)
        except KeyboardInterrupt as stop:
            say(*watch.interrupted(shlex.join(["nasctl", *sys.argv[1:]])))
            return exit_code(stop)
    if as_json:
        click.echo(watch.json())
    say(*watch.closing())
    return 0

"""`nasctl search`."""

from __future__ import annotations

import re
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
    setting,
    space_option,
    store_option,
    weights_seed,
)

if TYPE_CHECKING:
    from nasctl.run import Run

METRICS = ("synflow", "jacov", "snip")  # what is optimised unless a person says otherwise


@click.command()
@space_option
@device_option
@click.option(
    "-o",
    "--objective",
    "objectives",
    multiple=True,
    metavar="SPEC",
    help="What to optimise; repeat it or separate by commas.  [default: synflow,jacov,snip, and macs without a device]",
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
@click.option("--searcher", default="mtf_pdns", show_default=True, metavar="SPEC", help="Search algorithm.")
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
@click.option("--run", "called", default="", metavar="NAME", help="A name of your own for the run.")
@store_option
@json_option
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
    data: str,
    torch_device: str,
    called: str,
    store: str,
    as_json: bool,
) -> None:
    """Search SPACE for networks that trade training-free metrics against cost on a device.

    The same command resumes where it was stopped, or goes on with a larger budget.
    """
    from nasctl import registry
    from nasctl.run import Run

    named = registry.listed(devices)
    chosen = registry.split(objectives) or [*METRICS, *(() if named else ("macs",))]
    chosen = [spec for spec in chosen if spec != "latency" or not named]  # that of every device is added
    chosen += [f"latency@{device}" for device in named]
    measured = setting(registry.create("spaces", space), fidelity, data, noise, torch_device)
    also = tuple(registry.split(record))
    run = Run(space, tuple(dict.fromkeys(chosen)), searcher, seed, measured, also, constraints, called)
    seconds = None if limit is None else _seconds(limit)
    given = ctx.get_parameter_source("store") is ParameterSource.COMMANDLINE
    options = f" --store {shlex.quote(store)}" if given else ""
    ctx.exit(_searched(run, store, options, budget, seconds, as_json))


def _searched(run: Run, store: str, options: str, budget: int, limit: float | None, as_json: bool) -> int:
    """Run the search, show its progress, and say how it ended; returns the exit code."""
    from nasctl.progress import Watch
    from nasctl.report import say
    from nasctl.store import Store

    warnings = run.check()  # before anything is written
    watch = Watch(run, budget, limit, options)
    opened = Store(store)
    say(*watch.opening(), *(f"Warning: {sentence}" for sentence in warnings))
    try:
        watch.follow(opened)
    except KeyboardInterrupt:
        say(*watch.interrupted(shlex.join(["nasctl", *sys.argv[1:]])))
        return 130
    if as_json:
        click.echo(watch.json())
    say(*watch.closing())
    return 0


def _seconds(text: str) -> float:
    from nasctl.errors import NasctlError

    match = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|min|h)?", text.strip())
    if not match or not float(match[1]):
        raise NasctlError(f"{text!r} is no time limit; write 90 (seconds), 5m or 2h")
    return float(match[1]) * {None: 1, "s": 1, "m": 60, "min": 60, "h": 3600}[match[2]]

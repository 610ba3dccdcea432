"""`nasctl search`."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from nasctl.commands import SPACE_HELP, device_option, json_option, store_option, word_or_option
from nasctl.commands._complete import complete
from nasctl.commands._config import Configured, config_option, option_values, set_option
from nasctl.commands._groups import OptionGroup
from nasctl.commands._setting import (
    data_option,
    fidelity_option,
    say_data,
    setting_group,
    threads_option,
    torch_device_option,
    weights_seed_option,
)
from nasctl.commands._trainings import SearchTrainings, closing_lines, train_chosen, trained_run, trainings_group
from nasctl.commands._types import Count
from nasctl.commands._workers import WorkerChoice, duration, worker_group
from nasctl.problem.defaults import DEFAULT_BUDGET, DEFAULT_COST, DEFAULT_SEARCHER, TASKS

if TYPE_CHECKING:
    from nasctl.search.request import SearchRequest, SettingOptions
    from nasctl.search.run import Run
    from nasctl.search.watch import Watch
    from nasctl.workers import WorkerOptions


RUN = "nasctl.run"  # key of a context's `meta`: the name of the run that a search made or went on with


@dataclass(frozen=True)
class Effort:
    """The most that a search may do.

    Args:
        budget: Distinct candidates to evaluate.
        limit: Time after which to stop, such as "5m"; None for no limit.
    """

    budget: int = DEFAULT_BUDGET
    limit: str | None = None

    @property
    def seconds(self) -> float | None:
        """The time limit in seconds."""
        return None if self.limit is None else duration(self.limit)


def _build_request(
    task: str | None, space: str | None, space_word: str | None, no_references: bool, **values: Any
) -> SearchRequest:
    from nasctl.search.request import SearchRequest

    space = word_or_option("space", space_word, space)
    return SearchRequest(space, **values, task=task or "", references=not no_references)


request_group = OptionGroup(
    "request",
    "Search",
    _build_request,
    (
        click.argument("space_word", metavar="[SPACE]", required=False, shell_complete=complete("spaces")),
        click.option("--space", metavar="SPEC", help=SPACE_HELP, shell_complete=complete("spaces")),
        device_option,
        click.option(
            "-o",
            "--objective",
            "objectives",
            multiple=True,
            metavar="SPEC",
            shell_complete=complete("objectives"),
            help="What to optimise. Repeatable, or A,B; max:NAME or min:NAME asks for a direction.  [default: the"
            f" metrics that measurements favour on spaces of this family, and {DEFAULT_COST} without a device]",
        ),
        click.option(
            "--task",
            type=click.Choice(TASKS),
            help="What the networks are to be trained for; default objectives follow it.  [default: classification, or"
            " language for recurrent cells]",
        ),
        click.option(
            "--record",
            multiple=True,
            metavar="SPEC",
            help="What to measure besides, such as params,macs.",
            shell_complete=complete("objectives"),
        ),
        click.option(
            "-c",
            "--constraint",
            "constraints",
            multiple=True,
            metavar="BOUND",
            help='What a candidate must satisfy: "latency<=20", "params<=5M", or "macs<=60%" of the space\'s maximum.',
        ),
        click.option(
            "--searcher",
            default=DEFAULT_SEARCHER,
            show_default=True,
            metavar="SPEC",
            help="Search algorithm; see `nasctl searcher list`.",
            shell_complete=complete("searchers"),
        ),
        click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Seed of the searcher."),
        click.option("--run", "name", default="", metavar="NAME", help="Name for the run.  [default: a digest]"),
        click.option(
            "--no-references",
            is_flag=True,
            help="Do not begin with the published networks of the space, which `nasctl space references` lists.",
        ),
    ),
)

effort_group = OptionGroup(
    "effort",
    "Effort",
    Effort,
    (
        click.option(
            "--budget",
            default=DEFAULT_BUDGET,
            show_default=True,
            type=Count(1),
            metavar="N",
            envvar="NASCTL_BUDGET",
            show_envvar=True,
            help="Distinct candidates to evaluate.",
        ),
        click.option("--time", "limit", metavar="TIME", help="Time after which to stop: 90 (seconds), 5m or 2h."),
    ),
)
setting_options = setting_group(weights_seed_option, fidelity_option, data_option, torch_device_option, threads_option)


@click.command(cls=Configured, groups=(request_group, effort_group, trainings_group, setting_options, worker_group))
@request_group
@effort_group
@trainings_group
@setting_options
@worker_group
@store_option
@json_option
@config_option
@set_option
@click.pass_context
def command(
    ctx: click.Context,
    request: SearchRequest,
    effort: Effort,
    trainings: SearchTrainings,
    setting: SettingOptions,
    workers: WorkerChoice,
    store: str,
    as_json: bool,
) -> None:
    """Search SPACE for networks that trade training-free metrics against cost on a device.

    The same command resumes a search that was stopped, and continues one that is given a larger budget. With
    --trainings, the search ends in trained networks.
    """
    import time
    from dataclasses import replace

    from nasctl.search.data_options import fitted_request
    from nasctl.search.watch import Watch
    from nasctl.store.store import Store

    workers, fewer = workers.clamped(setting.threads, effort.budget)
    worker_options = workers.options(setting.threads)
    setting = replace(setting, torch_device=workers.torch_device(setting.torch_device))
    reading = Store.reading(store)
    request, followed = fitted_request(request, setting, reading, lambda one: trainings.request(one, setting))
    run = request.run(setting, option_values(ctx), reading)
    say_data(run.task.setting.data)
    ctx.meta[RUN] = run.name
    seconds = effort.seconds
    given = ctx.get_parameter_source("store") is ParameterSource.COMMANDLINE
    warnings = run.check(here=worker_options.in_process)  # before anything is written
    also = f" --store {shlex.quote(store)}" if given else ""
    begun, first = time.monotonic(), trainings.budget(request, effort.budget)
    then = None
    if trainings.trainings is not None and not trainings.are_candidates(request):
        then = trained_run(run, trainings, effort.budget, store)
        ctx.meta[RUN] = then.name
    watch = Watch(run, first, seconds, also, last=then is None)
    if trainings.are_candidates(request):
        from nasctl.trained_search.trained_watch import CandidatesTrainedWatch

        watch = CandidatesTrainedWatch(run, first, seconds, also, store, setting.data or "")
    shares = then.budget_sentences if then else ()
    said = [*shares, *followed, *fewer, *([] if as_json else request.remarks(run, setting))]
    said += [f"Warning: {sentence}" for sentence in warnings]
    code = _search(run, watch, said, worker_options, store, as_json and then is None)
    if code or then is None:
        ctx.exit(code)
    left = None if seconds is None else max(0.0, seconds - (time.monotonic() - begun))
    ctx.exit(train_chosen(then, worker_options, store, left, also, as_json, setting.data or ""))


def _search(run: Run, watch: Watch, said: list[str], workers: WorkerOptions, store: str, as_json: bool) -> int:
    """Run the search, show its progress and its result, and return the exit code."""
    from nasctl.search.run_lock import in_use
    from nasctl.store.store import Store
    from nasctl.system.signals import exit_code
    from nasctl.system.terminal import say
    from nasctl.workers import open_executor

    run.file_under(store)
    try:
        with open_executor(workers, run.task) as executor, in_use(store, run.name) as others:
            opened = Store(store)
            say(*watch.opening(), *said, *others)
            watch.follow(opened, executor)
    except KeyboardInterrupt as stop:  # workers have written their checkpoints
        say(*watch.interrupted(shlex.join(["nasctl", *sys.argv[1:]])))
        return exit_code(stop)
    from nasctl.analysis.recommendation import recommend

    recommended = recommend(opened, *opened.run(run.name), watch.found) if watch.found else None
    if as_json:
        click.echo(watch.json(recommended))
    say(*closing_lines(watch.closing(opened.machines(run.name), recommended)))
    return watch.exit_status

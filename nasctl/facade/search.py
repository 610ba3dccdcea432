"""The function `nasctl.search`."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

from nasctl.facade.result import SearchResult
from nasctl.problem.defaults import DEFAULT_BUDGET, DEFAULT_SEARCHER, DEFAULT_STORE
from nasctl.problem.searcher import Evaluation
from nasctl.search.data_options import fitted_request
from nasctl.search.empty_front import all_failed, empty_front_sentence
from nasctl.search.request import SearchRequest, SettingOptions
from nasctl.search.run import Run
from nasctl.store.store import Store
from nasctl.supernets.folder import CURRENT_STORE
from nasctl.system.argument_types import check_arguments, check_least
from nasctl.workers import WorkerOptions, open_executor

DEFAULT_SETTING_OPTIONS, ONE_WORKER = SettingOptions(), WorkerOptions()

EVIDENCE = "evidence: "  # beginning of the remark on what metrics are worth, which warns of nothing


def search(
    space: str,
    *,
    device: str | Sequence[str] = (),
    objectives: str | Sequence[str] = (),
    record: str | Sequence[str] = (),
    constraints: str | Sequence[str] = (),
    searcher: str = DEFAULT_SEARCHER,
    seed: int = 0,
    budget: int = DEFAULT_BUDGET,
    seconds: float | None = None,
    setting: SettingOptions = DEFAULT_SETTING_OPTIONS,
    workers: WorkerOptions = ONE_WORKER,
    store: str | Path = DEFAULT_STORE,
    run: str = "",
    task: str = "",
    references: bool = True,
) -> SearchResult:
    """Search a space for networks that trade training-free metrics against cost on a device, as `nasctl search` does.

    The same call resumes a search that was stopped, and continues one that is given a larger budget.

    Args:
        space: Spec of the search space, such as "mbconv", "nb201:channels=16" or "own.py:Space". Classes and resolution
            follow from the setting's data, if it names any and they are not given.
        device: Names of devices, or files of latency tables; the latency on each becomes an objective.
        objectives: Specs of objectives; by default the training-free metrics that measurements favour on spaces of this
            family, and "macs" without a device.
        record: Specs of metrics to record besides.
        constraints: Bounds such as "latency<=20", "params<=5M" or "macs<=60%" of the space's maximum.
        searcher: Spec of the search algorithm.
        seed: Seed of the search algorithm.
        budget: Distinct candidates to evaluate.
        seconds: Time after which no further candidate is started; None for no limit.
        setting: Fidelity, data, weights seed, torch device and threads of measurements.
        workers: Processes that run modules. A script that asks for more than one needs the guard
            `if __name__ == "__main__":`.
        store: Path of the database file; created if it does not exist.
        run: A name for the run, in place of the default one.
        task: What the networks are to be trained for, such as "dense", which default objectives follow; "" for what is
            usual in the family of the space.
        references: Whether the published networks of the space are evaluated first and bred from.

    Returns:
        The run with its front.

    Raises:
        NasctlError: An argument has the wrong type, a name does not exist, a constraint cannot be met, or every
            candidate fails.
    """
    check_arguments("search", search, locals())
    check_least("search", 1, budget=budget)
    check_least("search", 0, seed=seed, seconds=seconds)
    devices, specs, metrics, bounds = map(_texts, (device, objectives, record, constraints))
    CURRENT_STORE.set(str(store))  # not reset: the result makes objectives too
    request = SearchRequest(space, devices, specs, metrics, bounds, searcher, seed, run, task, references)
    request, _ = fitted_request(request, setting, reading := Store.reading(store))
    asked = request.run(setting, store=reading)
    doubts = request.remarks(asked) if request.objectives else []
    for sentence in [*asked.check(here=workers.in_process), *_warnings(doubts)]:
        warnings.warn(sentence, stacklevel=2)
    deadline = math.inf if seconds is None else time.monotonic() + seconds
    with open_executor(workers, asked.task) as executor:
        opened = Store(store)
        for _ in asked.search(opened, budget, deadline, executor):
            pass
    return SearchResult(asked, opened, _visited(asked, opened))


def _visited(run: Run, store: Store) -> tuple[Evaluation, ...]:
    """Return the candidates of a run, and warn the caller of `search` if none of them has a score."""
    found, goals = tuple(store.evaluations(run.name)), run.task.objectives
    if found and all_failed(found, goals):
        warnings.warn(empty_front_sentence(found, goals, False, f"nasctl runs retry {run.name}"), stacklevel=3)
    return found


def _texts(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _warnings(lines: Sequence[str]) -> list[str]:
    """Return the sentences of remarks that are warnings; a line that is indented goes on with the one before."""
    sentences: list[str] = []
    for line in lines:
        if line.startswith(" ") and sentences:
            sentences[-1] += f" {line.strip()}"
        else:
            sentences.append(line.removeprefix("Warning: "))
    return [one for one in sentences if not one.startswith(EVIDENCE)]

"""The search loop: ask, evaluate, record, tell."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from nasctl.errors import NasctlError
from nasctl.evaluation.executor import Executor, in_order
from nasctl.evaluation.measure import LocalExecutor, measure
from nasctl.evaluation.task import Task
from nasctl.pareto.losses import losses, violations
from nasctl.problem.searcher import Evaluation, Searcher
from nasctl.problem.space import Genome
from nasctl.store.measurements import Measurement, evaluation
from nasctl.store.run_log import RunLog, seen

HOPELESS = 10  # candidates of a first generation that all fail, which ends a search: something else is wrong

PATIENCE = 20  # batches in a row without a new genome, after which the space counts as used up


class Visit(NamedTuple):
    """One candidate of a search, when it is on disk."""

    evaluation: Evaluation
    generation: int  # number of the batch that it was proposed in, from 0
    proposed: int  # genomes proposed so far, those that were evaluated before included
    seconds: float  # that the search waited for it
    fresh: bool  # whether something of it was measured now; what the store knew costs next to none


def search(
    task: Task,
    searcher: Searcher,
    journal: RunLog,
    budget: int,
    deadline: float = math.inf,
    executor: Executor | None = None,
) -> Iterator[Visit]:
    """Yield `budget` different genomes, or as many as the searcher finds, each as soon as it is on disk.

    A run is resumed by calling this again with a searcher made from the same seed. It is told what the store knows,
    so it takes the same path as before, and only what is missing is evaluated.

    Args:
        task: What is searched.
        searcher: Proposes genomes.
        journal: Where they are recorded.
        budget: Different genomes to visit.
        deadline: Of `time.monotonic()`, after which no further genome is begun.
        executor: Where modules are measured; in this process if none is given.

    Raises:
        NasctlError: The whole first generation failed, or something else is the user's to mend.
    """
    path: dict[Genome, Evaluation] = {}
    stale = generation = proposed = 0
    while stale < PATIENCE and (batch := searcher.ask()):
        stale = stale + 1 if path.keys() >= set(batch) else 0
        new = [genome for genome in dict.fromkeys(batch) if genome not in path][: budget - len(path)]
        found = _evaluated(task, enumerate(new, len(path)), journal, executor or LocalExecutor(task), deadline)
        for genome in batch:
            proposed += 1
            if genome in path:
                continue
            start = time.perf_counter()
            if (one := next(found, None)) is None:  # the budget or the time is used up
                return
            path[genome], fresh = one
            yield Visit(path[genome], generation, proposed, time.perf_counter() - start, fresh)
        told = [path[genome] for genome in batch]
        if generation == 0 and len(told) >= HOPELESS:
            _give_up_if_hopeless(task, told, journal)
        searcher.tell(losses(told, task.objectives), violations(told, task.constraints))
        generation += 1


def _give_up_if_hopeless(task: Task, found: Sequence[Evaluation], journal: RunLog) -> None:
    """Stop where an objective failed for every candidate; what is only recorded may fail as it likes.

    Raises:
        NasctlError: One did.
    """
    for goal in task.objectives:
        if all(goal.name in one.errors for one in found):
            error = found[-1].errors[goal.name]
            journal.untold()
            raise NasctlError(
                f"{goal.name} failed for all {len(found)} candidates of the first generation: {error} (when that is"
                " mended, `nasctl runs retry` measures them again)"
            )


class _Begun(NamedTuple):
    labels: Mapping[str, str]  # that count for a genome
    known: Mapping[str, Measurement]
    fresh: Mapping[str, Measurement]  # measured now, without a module
    missing: Mapping[str, str]


def evaluate(task: Task, genome: Genome, journal: RunLog) -> Evaluation:
    """Measure what the store does not know of a genome, in this process, and record the visit."""
    ((found, _),) = _evaluated(task, [(None, genome)], journal, LocalExecutor(task))
    return found


def _evaluated(
    task: Task,
    genomes: Iterable[tuple[int | None, Genome]],
    journal: RunLog,
    executor: Executor,
    deadline: float = math.inf,
) -> Iterator[tuple[Evaluation, bool]]:
    """Measure what the store does not know of genomes, and record the visits in their order.

    Args:
        task: What is measured.
        genomes: Each behind its place in the run; no two are the same.
        journal: Where they are recorded.
        executor: Where modules are measured.
        deadline: Of `time.monotonic()`, after which none is begun; what was begun is finished.

    Returns:
        Each evaluation, and whether something of it was measured now.
    """
    begun: dict[Genome, _Begun] = {}

    def lacking() -> Iterator[tuple[Genome, Mapping[str, str]]]:
        for position, genome in genomes:
            if time.monotonic() > deadline:
                return
            begun[genome] = _begun(task, genome, journal, position)
            yield genome, begun[genome].missing

    for genome, measured in in_order(executor, lacking(), journal.file):
        one = begun.pop(genome)
        fresh = {**one.fresh, **measured}
        told = journal.visit(genome, fresh)  # what another process was faster with counts
        yield evaluation(genome, one.labels, told), bool(fresh)


def _begun(task: Task, genome: Genome, journal: RunLog, position: int | None) -> _Begun:
    """What is known of a genome, what needs no module, and what is missing still.

    Where it breaks a constraint on that, what needs a module is left out: it cannot be on the front.
    """
    record = journal.record
    known = journal.known(genome, record.labels.values(), position)
    fresh = measure(task, genome, {name: label for name, label in record.cheap.items() if label not in known})
    labels = seen(record, genome, known | fresh)  # what another run knows beside these is not looked at
    missing = {name: label for name, label in labels.items() if label not in known | fresh}
    return _Begun(labels, known, fresh, missing)

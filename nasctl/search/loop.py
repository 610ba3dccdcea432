"""The search loop: ask, evaluate, record, tell."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from nasctl.evaluation.executor import Executor, in_order
from nasctl.evaluation.measure import LocalExecutor, measure
from nasctl.evaluation.task import Task
from nasctl.pareto.losses import losses, violations
from nasctl.problem.searcher import Evaluation, HasFindings, Searcher
from nasctl.problem.space import Genome
from nasctl.search.failing_objectives import FailingObjectives
from nasctl.search.recorded_path import RecordedPath
from nasctl.store.measurements import Measurement, evaluation
from nasctl.store.run_log import RunLog, counted_labels
from nasctl.system.terminal import say

PATIENCE = 20  # consecutive batches without a new genome after which the space counts as used up


class Visit(NamedTuple):
    """One candidate of a search, yielded once it is on disk.

    Attributes:
        evaluation: Values and errors of the candidate.
        generation: Number of the batch that proposed the genome, from 0.
        proposed: Genomes proposed so far, repeated genomes included.
        seconds: Time that the search waited for the candidate.
        fresh: Whether a metric was measured now. A candidate that the store knows in full costs next to nothing.
    """

    evaluation: Evaluation
    generation: int
    proposed: int
    seconds: float
    fresh: bool


def search(
    task: Task,
    searcher: Searcher,
    journal: RunLog,
    budget: int,
    deadline: float = math.inf,
    executor: Executor | None = None,
    first: Sequence[Genome] = (),
) -> Iterator[Visit]:
    """Yield `budget` different genomes, or as many as the searcher finds, each as soon as it is on disk.

    To resume a run, call this again with a searcher made from the same seed. The searcher is told the stored values, so
    it takes the same path as before, and only missing values are measured. On another machine, where the searcher's
    arithmetic may differ in its last digits, the search follows the recorded path (see `RecordedPath`).

    Args:
        task: What to search.
        searcher: Proposes genomes.
        journal: Records the run.
        budget: Different genomes to visit.
        deadline: Value of `time.monotonic()` after which no further genome is begun.
        executor: Where modules are measured; this process by default.
        first: Different canonical genomes to visit before the searcher is asked. It learns about those that it asks
            for.

    Raises:
        NasctlError: An objective failed for every candidate (see `FailingObjectives`), or the user has to mend
            something else.
    """
    path: dict[Genome, Evaluation] = {}
    recorded, failing = RecordedPath(journal, searcher), FailingObjectives(task.objectives)
    executor = executor or LocalExecutor(task)
    proposed = told = 0
    for generation, (before, batch) in enumerate(_batches(searcher, recorded, path, budget, first)):
        asked, twice = [*before, *batch], set(before) & set(batch)
        new = [genome for genome in dict.fromkeys(asked) if genome not in path][: budget - len(path)]
        found = _evaluated(task, enumerate(new, len(path)), journal, executor, deadline)
        for place, genome in enumerate(asked):
            proposed += place >= len(before) or genome not in twice
            if genome in path:
                continue
            start = time.perf_counter()
            if (one := next(found, None)) is None:  # the budget or the time is used up
                return
            path[genome], fresh = one
            yield Visit(path[genome], generation, proposed, time.perf_counter() - start, fresh)
            failing.note(path[genome])
            if len(path) >= len(recorded):  # where the recorded run went on, its replay does too
                failing.check(journal, path, told)
        rows = [path[genome] for genome in batch]
        if rows:
            searcher.tell(losses(rows, task.objectives), violations(rows, task.constraints))
            if isinstance(searcher, HasFindings):
                say(*searcher.findings())
        told = len(path)


def _batches(
    searcher: Searcher,
    recorded: RecordedPath,
    path: Mapping[Genome, Evaluation],
    budget: int,
    first: Sequence[Genome],
) -> Iterator[tuple[list[Genome], list[Genome]]]:
    """Yield the batches of a searcher until the budget or the space is used up.

    Args:
        searcher: Proposes genomes.
        recorded: The path of the run so far.
        path: Visited genomes; the caller adds those of a batch before it takes the next one.
        budget: Different genomes to visit.
        first: Genomes to visit before the first batch, with which they are evaluated, so that no worker waits.

    Yields:
        Genomes to visit before the batch, and the batch, which the searcher waits to be told about.
    """
    asked: set[Genome] = set()
    stale = 0
    while len(path) < budget and stale < PATIENCE and (batch := searcher.ask()):
        # On another machine, recorded genomes are visited before the searcher asks for them, so they count as new.
        stale = stale + 1 if all(genome in path and genome in asked for genome in batch) else 0
        asked |= set(batch)
        before, batch = recorded.reconcile(batch, path or first)
        yield [*first, *before], batch
        first = ()
    yield [*first, *recorded.rest(path or first)], []


class _Prepared(NamedTuple):
    """A genome before its modules are measured.

    Attributes:
        labels: Labels that count for the genome, by metric.
        known: Stored measurements, by label.
        fresh: Measurements made now without a module, by label.
        missing: Labels that need a module, by metric.
    """

    labels: Mapping[str, str]
    known: Mapping[str, Measurement]
    fresh: Mapping[str, Measurement]
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
        task: What to measure.
        genomes: Different genomes, each with its position in the run.
        journal: Records the visits.
        executor: Where modules are measured.
        deadline: Value of `time.monotonic()` after which no genome is begun. Genomes that were begun are finished.

    Yields:
        Each evaluation, and whether a metric was measured now.
    """
    prepared: dict[Genome, _Prepared] = {}

    def lacking() -> Iterator[tuple[Genome, Mapping[str, str]]]:
        for position, genome in genomes:
            if time.monotonic() > deadline:
                return
            prepared[genome] = _prepare(task, genome, journal, position)
            yield genome, prepared[genome].missing

    for genome, measured in in_order(executor, lacking(), journal.file):
        one = prepared.pop(genome)
        fresh = {**one.fresh, **measured}
        outcome = journal.visit(genome, fresh)  # where another process was faster, its measurement counts
        yield evaluation(genome, one.labels, outcome), bool(fresh)


def _prepare(task: Task, genome: Genome, journal: RunLog, position: int | None) -> _Prepared:
    """Look up what is known of a genome, and measure what needs no module.

    A genome that breaks a constraint on its costs cannot be on the front, so its module is not measured.
    """
    record, filed = journal.record, task.filed_labels
    known = journal.known(genome, record.labels.values(), position)
    lacking = {name: label for name, label in record.cheap.items() if label not in known}
    fresh = measure(task, genome, filed | lacking) if lacking else {}
    labels = counted_labels(record, genome, known | fresh)
    missing = {name: label for name, label in labels.items() if label not in known | fresh}
    if missing and not lacking:  # a candidate that is stored in full is not measured again only to be filed
        fresh = measure(task, genome, filed)
    return _Prepared(labels, known, fresh, missing)

"""`nasctl train --run`: candidates of a run, trained to the end or rung by rung."""

from __future__ import annotations

import json
import math
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from nasctl.commands._groups import OptionGroup
from nasctl.errors import NasctlError
from nasctl.system.wording import plural

if TYPE_CHECKING:
    from nasctl.store.training_table import TrainingRecord
    from nasctl.training.halving import Rung, RungResult
    from nasctl.training.progress_report import Reporting
    from nasctl.training.request import TrainRequest

DEFAULT_TOP = 16  # candidates that are trained without --top


@dataclass(frozen=True)
class ShortlistOptions:
    """Options that take the networks to train from a run.

    Args:
        run: Name of the run; None for networks given with --arch.
        top: Candidates to train; None for `DEFAULT_TOP`.
        halving: One network of this number goes on from a rung; None trains all to the end.
        rungs: Number of rungs; None for the usual number.
    """

    run: str | None = None
    top: int | None = None
    halving: int | None = None
    rungs: int | None = None

    def check(self, request: Mapping[str, Any]) -> None:
        """Refuse options that do not go together.

        Args:
            request: The other options of `nasctl train` on networks and data.

        Raises:
            NasctlError: Two options contradict each other, or one needs another.
        """
        given = {"--top": self.top, "--halving": self.halving, "--rungs": self.rungs}
        stray = next((option for option, value in given.items() if value is not None), None)
        if self.run is None and stray:
            raise NasctlError(f"{stray} is about the candidates of a run; give --run NAME too, or leave {stray} out")
        if self.run is None:
            return
        both = {"--arch": request["archs"], "--space": request["space"], "--name": request["name"]}
        if other := next((option for option, value in both.items() if value), None):
            reason = "each of them has a name of its own" if other == "--name" else "the run names its networks"
            raise NasctlError(f"--run trains candidates of a run and takes no {other}, because {reason}; leave one out")
        if self.rungs is not None and self.halving is None:
            raise NasctlError("--rungs is the number of rungs of a halving; give --halving 3 too, or leave it out")


def _build(**values: Any) -> ShortlistOptions:
    return ShortlistOptions(**values)


shortlist_group = OptionGroup(
    "shortlist",
    "Shortlist of a run",
    _build,
    (
        click.option(
            "--run",
            metavar="NAME",
            help="Train candidates of a run, in place of --arch: its front, then the next non-dominated ranks.",
        ),
        click.option(
            "--top",
            type=click.IntRange(1, 100_000),
            metavar="N",
            help=f"Candidates to train, chosen by the run's score and spread over its costs.  [default: {DEFAULT_TOP}]",
        ),
        click.option(
            "--halving",
            type=click.IntRange(2, 1000),
            metavar="ETA",
            help="Compare the networks early, and go on with one of ETA: the best in validation accuracy for their"
            " costs.  [default: train all to the end]",
        ),
        click.option(
            "--rungs",
            type=click.IntRange(2, 30),
            metavar="N",
            help="Lengths of training with --halving, each ETA times the one before.  [default: as many as leave ETA"
            " networks or more for the whole training]",
        ),
    ),
)


def train_shortlist(
    options: ShortlistOptions,
    request: TrainRequest,
    reporting: Reporting,
    dry_run: bool,
    store: str,
    with_store: str,
    as_json: bool,
) -> int:
    """Train candidates of a run, and return the exit code.

    Args:
        options: What is taken from the run.
        request: Data, recipe and machine.
        reporting: What is written besides.
        dry_run: Whether nothing is trained.
        store: The store.
        with_store: Option with which other commands find the store, such as " --store FILE"; "" for the default one.
        as_json: Whether the result is printed as JSON.

    Raises:
        NasctlError: The run has no candidate, its networks cannot be trained on the data, or all trainings diverged.
    """
    from nasctl.system.signals import exit_code
    from nasctl.system.terminal import say

    work = ShortlistTraining(options, request, reporting, store, with_store)
    say(*work.opening())
    if dry_run:
        say(*work.listed())
        if as_json:
            click.echo(json.dumps(work.planned()))
        return 0
    try:
        finished = work.train()
    except KeyboardInterrupt as stop:
        say("", "stopped; this goes on:", f"  {shlex.join(['nasctl', *sys.argv[1:]])}")
        return exit_code(stop)
    if as_json:
        click.echo(json.dumps(work.json()))
    elif finished:
        work.table(finished)
    if not finished:
        raise NasctlError(
            f"Cannot name a trained network: each of the {len(work.trainings)} trainings has diverged. Lower rate in"
            " the recipe."
        )
    say(*work.closing())
    return 0


class ShortlistTraining:
    """The trainings of the candidates of a run.

    Args:
        options: What is taken from the run.
        request: Data, recipe and machine.
        reporting: What is written besides.
        store: Path of the store.
        with_store: Option with which other commands find the store.

    Raises:
        NasctlError: The run has no candidate, its networks cannot be trained on the data, or cannot be halved.
    """

    def __init__(
        self, options: ShortlistOptions, request: TrainRequest, reporting: Reporting, store: str, with_store: str
    ) -> None:
        from nasctl.analysis.run_scores import stored_sizes
        from nasctl.analysis.shortlist import shortlist
        from nasctl.store.store import Store
        from nasctl.supernets.starting_slices import located, start_doubts
        from nasctl.training.training import check_trainable

        reporting.check()
        opened = Store.reading(store)
        request = located(request, opened)
        self._run, self._record = opened.run(options.run)
        visited = opened.evaluations(self._run)
        sizes = stored_sizes(opened, self._run, self._record)
        self._shortlist = shortlist(self._record, visited, options.top or DEFAULT_TOP, sizes)
        chosen = [(self._record.space, one.genome) for one in self._shortlist.candidates]
        self.trainings = request.trainings_of(chosen, opened)
        for training, data in self.trainings:
            check_trainable(training, data)
        self._starts = [request.start_of(one.trained_space, one.genome) for one, _ in self.trainings]
        self._doubts = start_doubts(request, self.trainings[0][1])
        self._options, self._reporting = options, reporting
        self._path, self._with_store = store, with_store
        self._ladder = self._rungs()

    def opening(self) -> Iterator[str]:
        """Yield the lines that say what is about to be trained."""
        from nasctl.training.report import Report, effort_lines

        found, number = self._shortlist, len(self.trainings)
        by = f", chosen by {found.score}" if found.score and number != found.front else ""
        spread = f" and spread over {' and '.join(found.cost_names)}" if by and found.cost_names else ""
        beyond = f"; not on the front: {number - found.front}" if number > found.front else ""
        yield f"shortlist of run {self._run}: {plural(number, 'network')}, front of {found.front}{by}{spread}{beyond}"
        first = Report(*self.trainings[0]).opening()
        yield from first[:-2]
        yield from self._doubts
        yield first[-1]
        if len(self._ladder) == 1:
            yield from effort_lines(self.trainings)
        left, eta = number, self._options.halving or 1
        for rung in self._ladder:
            if len(self._ladder) > 1:
                steps = f"{rung.step:,} of {plural(rung.steps, 'step')}"
                yield f"rung {rung.number} of {rung.of}: {plural(left, 'network')} for {steps}"
            left = -(-left // eta)

    def listed(self) -> Iterator[str]:
        """Yield a line for each candidate."""
        for arch, (training, _) in zip(self._ids, self.trainings, strict=True):
            yield f"  {arch}  would train {training.name}"

    def planned(self) -> list[dict[str, Any]]:
        """Return the trainings as JSON, of which none is carried out, in the order of the shortlist."""
        from nasctl.store.store import Store
        from nasctl.training.training import planned_row

        return [planned_row(training, Store.reading(self._path)) for training, _ in self.trainings]

    def train(self) -> tuple[int, ...]:
        """Train the candidates, and return the places of those that are finished."""
        from nasctl.store.store import Store
        from nasctl.training.halving import halve

        self._store = Store(self._path)
        names = [training.name for training, _ in self.trainings]
        eta = self._options.halving or 1
        return halve(names, self._shortlist.costs, self._ladder, eta, self._store, self._train, self._follow)

    def table(self, finished: tuple[int, ...]) -> None:
        """Print the trained networks, the best in validation accuracy first."""
        from nasctl.system.terminal import quantity, table
        from nasctl.training.rows import accuracy_text

        records = self._records
        order = sorted(finished, key=lambda k: _loss(records[k].parts))
        costs = self._shortlist.cost_names
        rows = []
        for k in order:
            values = self._shortlist.candidates[k].values
            shown = [quantity(values[name], self._record.columns[name].unit) for name in costs]
            parts = [accuracy_text(records[k].parts.get(part)) for part in ("validation", "test")]
            rows.append([self._ids[k], *parts, *shown, records[k].name])
        table(["id", "validation", "test", *costs, "training"], rows)

    def json(self) -> list[dict[str, Any]]:
        """Return all trainings of the shortlist as JSON, in the order of the shortlist."""
        from nasctl.training.rows import training_row

        return [training_row(record, self._path) for _, record in sorted(self._records.items())]

    def closing(self) -> Iterator[str]:
        """Yield the next commands."""
        yield f"next: nasctl pareto show --run {self._run}{self._with_store}"
        yield f"      nasctl pareto pick --run {self._run} --best trained{self._with_store}"

    @cached_property
    def _ids(self) -> list[str]:
        from nasctl import registry
        from nasctl.architectures import ids

        genes = registry.create("spaces", self._record.space).genes
        return [ids.encode(self._record.space, genes, one.genome) for one in self._shortlist.candidates]

    @property
    def _records(self) -> dict[int, TrainingRecord]:
        """The rows of the trainings that the store has, by place."""
        places = {training.name: k for k, (training, _) in enumerate(self.trainings)}
        return {places[one.name]: one for one in self._store.trainings() if one.name in places}

    def _rungs(self) -> tuple[Rung, ...]:
        """Return the rungs.

        Raises:
            NasctlError: The first rung would be too short, or there are no validation examples.
        """
        from nasctl.training.batches import steps_per_epoch
        from nasctl.training.halving import rungs

        training, data = self.trainings[0]
        if self._options.halving and not data.size("validation"):
            raise NasctlError(
                "Cannot halve without a validation part, on which the networks are compared. Give the data one, such as"
                " --split 0.8,0.1,0.1."
            )
        epoch, recipe = steps_per_epoch(data, training.recipe.batch), training.recipe
        shortest = math.ceil((recipe.warmup + 1) * epoch)  # before that, accuracies are near chance
        return rungs(len(self.trainings), recipe.epochs * epoch, shortest, self._options.halving, self._options.rungs)

    def _train(self, place: int, rung: Rung) -> None:
        """Train the network of a place up to a rung."""
        from nasctl.system.terminal import say
        from nasctl.training.events import TrainingDiverged
        from nasctl.training.report import Report
        from nasctl.training.training import run_training

        training, data = self.trainings[place]
        until = None if rung.last else rung.step
        report = Report(training, data, self._with_store, until)
        say(f"network {place + 1} of {len(self.trainings)}: {self._ids[place]}, training {training.name}")
        try:
            with report:
                work = self._reporting.work(self._starts[place], report.note)
                run_training(training, data, self._store, work, report.follow, until=until)
        except TrainingDiverged as failure:
            say(str(failure))

    def _follow(self, result: RungResult) -> None:
        """Report a rung: which networks go on, the best first, and then the others."""
        from nasctl.system.terminal import say
        from nasctl.training.rows import accuracy_text

        rung = result.rung
        if rung.last:
            return
        say(
            f"rung {rung.number} of {rung.of}: {len(result.promoted)} of {plural(len(result.records), 'network')} go on"
        )
        places = sorted(
            result.records, key=lambda k: (k not in result.promoted, _loss(_at(result.records[k], rung)), k)
        )
        for k in places:
            record = result.records[k]
            found = _at(record, rung).get("validation")
            word = "goes on" if k in result.promoted else record.state.partition(" ")[0]
            say(f"  {word:<8}  {accuracy_text(found) or 'no result':<14}  {self._ids[k]}  {record.name}")


def _at(record: TrainingRecord, rung: Rung) -> Mapping[str, Mapping[str, Any]]:
    """Return the result of a training at a rung, by part; the newest one if it has paused elsewhere."""
    return {"validation": record.rungs[str(rung.step)]} if str(rung.step) in record.rungs else record.parts


def _loss(parts: Mapping[str, Mapping[str, Any]]) -> float:
    """Return the error of a training on the validation part, or where there is none on the test part."""
    result = parts.get("validation") or parts.get("test") or {}
    if result.get("accuracy") is not None:
        return float(1 - result["accuracy"])
    return float(result.get("loss", float("inf")))


__all__ = ["ShortlistOptions", "ShortlistTraining", "shortlist_group", "train_shortlist"]

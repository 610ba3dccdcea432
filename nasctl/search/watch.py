"""The messages of a running search: what it does, how far it is, and how it ended."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from textwrap import wrap
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from nasctl.architectures import ids
from nasctl.architectures.references import differing_references, reference_names
from nasctl.candidates.objective import HasSharedWeights
from nasctl.evaluation.executor import Executor
from nasctl.evaluation.hypervolume_tracker import HypervolumeTracker
from nasctl.pareto.archive import Archive, closest_to_ideal
from nasctl.pareto.losses import front, losses, violations
from nasctl.problem.searcher import Evaluation
from nasctl.problem.space import Genome, SearchSpace
from nasctl.search.empty_front import all_failed, empty_front_sentence
from nasctl.search.loop import Visit
from nasctl.search.reference_verdict import sentence, verdicts
from nasctl.search.run import Run
from nasctl.store.store import Store
from nasctl.system import progress, terminal

LINE = 80  # most characters of a line

HYPERVOLUME_SHARE = 0.03  # share of a search's time above which no further hypervolume is computed for display


class Recommended(Protocol):
    """The recommended network of a run, as `nasctl.analysis.recommendation` chooses it."""

    @property
    def chosen(self) -> Evaluation:
        """Its evaluation."""
        ...

    @property
    def reason(self) -> str:
        """The reason, the part of `sentence` after the id."""
        ...

    @property
    def sentence(self) -> str:
        """The recommendation and its reason in one sentence."""
        ...


class Watch:
    """Follows one search and reports it to the user.

    Args:
        run: The run to search.
        budget: Different candidates to visit.
        limit: Time limit in seconds; None for no limit.
        options: Options that commands on the same store need, such as " --store FILE".
        last: Whether the command ends with this search, so that the next commands are named.
    """

    def __init__(self, run: Run, budget: int, limit: float | None, options: str = "", last: bool = True) -> None:
        self._last = last
        self._run, self._budget, self._limit, self._options = run, budget, limit, options
        self._task = run.task
        self._archive = Archive(len(self._task.objectives))
        self._found: list[Evaluation] = []
        self._fresh, self._waited = 0, 0.0  # candidates that were measured now, and the seconds of all candidates
        self._failed = self._unscored = self._proposed = 0
        self._volume: float | None = None  # share of the ideal box
        self._hypervolume_seconds = 0.0  # time spent on hypervolumes
        self._tracker = HypervolumeTracker(self._task)
        self._start = time.monotonic()
        self._late = False  # whether the time limit was over at the end

    def opening(self) -> list[str]:
        """Return the lines that say what is about to be searched, a line each for run, objectives and remarks."""
        task, space = self._task, self._task.space
        size = math.prod(len(gene.choices) for gene in space.genes)
        arrows = {"min": "down", "max": "up"}
        objectives = ", ".join(f"{goal.name} ({arrows[goal.direction]})" for goal in task.objectives)
        lines = [
            f"run {self._run.name}: {self._run.searcher} on {self._run.space} ({size:.3g} genomes), up to"
            f" {terminal.plural(self._budget, 'candidate')}",
            f"objectives: {objectives}",
        ]
        if task.constraints:
            bounds = zip(task.constraints, self._run.bounds, strict=True)
            units = {name: metric.unit for name, metric in task.metrics.items()}
            said = [
                f"{one.text(units[one.name])}{given.reference and f' (as {given.reference} has)'}"
                for one, given in bounds
            ]
            lines.append(f"subject to: {', '.join(said)}")
        if self._run.references:
            named = ", ".join(map(self._called, self._run.references))
            networks = "reference network" if len(self._run.references) == 1 else "reference networks"
            lines.append(f"begins with the {networks} {named}; --no-references leaves them out")
            lines += differing_references(space, self._run.references)
        if any(goal.cost == "module" for goal in task.objectives):
            lines.append(self._conditions())
        return lines + [f"{name}: {remark}" for name, remarks in self._run.remarks.items() for remark in remarks]

    def _conditions(self) -> str:
        """Return the examples, the resolution and the draws of metrics, and the resolution of costs."""
        setting, space = self._task.setting, self._task.space
        own = _sizes(space)
        fidelity = setting.fidelity
        examples = f"metrics on {terminal.plural(fidelity.batch, 'example')} of {setting.data}"
        draws = f", mean of {fidelity.repeats} draws" if fidelity.repeats > 1 else ""
        if fidelity.whole:
            return f"{examples}, {own}, the network's own size{draws}"
        reduced = "x".join(map(str, space.reduced(fidelity).input.shape))
        parts = terminal.plural(fidelity.cells or 0, "cell or block", "cells or blocks")
        also = f", {parts} a stage" if fidelity.cells else ""
        return f"{examples}, {reduced}{also}{draws}; costs and latency at {own}"

    def follow(self, store: Store, executor: Executor | None = None) -> None:
        """Run the search to its end, with a progress line.

        Args:
            store: Records the run.
            executor: Where modules are measured; this process by default.
        """
        deadline = math.inf if self._limit is None else self._start + self._limit
        generation = 0
        with self._display() as shown:
            for visit in self._run.search(store, self._budget, deadline, executor):
                if visit.generation > generation:
                    generation = visit.generation
                    if self._hypervolume_seconds <= HYPERVOLUME_SHARE * (time.monotonic() - self._start):
                        self._update_hypervolume()
                self._note(visit)
                shown.update(self._state(visit.generation))
            self._late = time.monotonic() >= deadline
            self._update_hypervolume()
            if self._found:
                shown.update(self._state(generation))

    def _display(self) -> progress.Progress:
        """Return the display of the search."""
        return progress.Progress(self._budget)

    def _update_hypervolume(self) -> None:
        """Compute the hypervolume. With four objectives, its time grows with the square of the size of the front."""
        begun, first = time.monotonic(), self._volume is None
        self._tracker.start(self._found)  # no effect after the first generation
        self._volume = self._tracker.share(self._archive.losses)
        self._hypervolume_seconds += 0.0 if first else time.monotonic() - begun  # the first one imports a library

    def _note(self, visit: Visit) -> None:
        """Count a visit, and add its candidate to the archive."""
        found = visit.evaluation
        self._found.append(found)
        self._proposed = visit.proposed
        self._failed += bool(found.errors)
        self._unscored += found.values.keys() | found.errors.keys() < self._task.metrics.keys()
        self._fresh += visit.fresh
        self._waited += visit.seconds  # a candidate that the store knows takes next to no time
        (row,) = losses([found], self._task.objectives)
        broken = violations([found], self._task.constraints).max(initial=0.0) > 0
        if not broken and not np.isnan(row).any():
            self._archive.add(found.genome, row)

    def _state(self, generation: int) -> progress.State:
        """Return the state that the progress line shows."""
        each = self._waited / self._fresh if self._fresh else None
        left = None if each is None else each * (self._budget - len(self._found))
        if self._limit is not None:
            remaining = max(0.0, self._limit - (time.monotonic() - self._start))
            left = remaining if left is None else min(left, remaining)
        done, size = len(self._found), len(self._archive)
        return progress.State(done, self._budget, self._failed, size, self._volume, each, left, generation)

    @property
    def found(self) -> Sequence[Evaluation]:
        """The evaluations of the run's candidates so far, in order."""
        return self._found

    @property
    def exit_status(self) -> int:
        """1 if no candidate has a score because metrics failed or have values without a loss; 0 otherwise."""
        return int(bool(self._found) and all_failed(self._found, self._task.objectives))

    def closing(
        self, machines: Mapping[str, int] = MappingProxyType({}), recommended: Recommended | None = None
    ) -> list[str]:
        """Return the lines that say how the search ended, with the next two commands to type.

        Args:
            machines: Values of the run by machine, as `Store.machines` returns them.
            recommended: The recommended network of the run; by default the one closest to the best of every objective.
        """
        size = len(self._archive)
        seconds = terminal.duration(time.monotonic() - self._start)
        number = terminal.plural(len(self._found), "candidate")
        line = f"{number} in {seconds}, {self._failed} failed, {size} on the front"
        if size and self._volume is not None:
            line += f", hypervolume {self._volume:.1%} of the ideal box"
        lines = [f"run {self._run.name}: {line}"]
        lines += self._early_end()
        if self._unscored:
            broken = terminal.plural(
                self._unscored, "of them breaks a constraint by its cost", "of them break a constraint by their cost"
            )
            scored = len(self._found) - self._unscored
            lines.append(f"{broken} alone and went unscored" + f"; ranks are among the other {scored:,}" * (scored > 0))
        if self._failed:
            errors = [error for found in self._found for error in found.errors.values()]
            lines.append(f"the last failure was: {errors[-1]}")
        known = [f"{name} ({terminal.plural(values, 'value')})" for name, values in machines.items() if name]
        if len(known) > 1:
            lines.append(
                f"Warning: values of this run were measured on {' and '.join(known)}; they may differ in their last"
                " digits, so compare ranks"
            )
        if not self._found:
            return [*lines, "the time was over before the first candidate; give a larger --time"]
        if not size:
            retry = f"nasctl runs retry {self._run.name}{self._options}"
            why = empty_front_sentence(self._found, self._task.objectives, bool(self._task.constraints), retry)
            return [*lines, *wrap(why, LINE, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)]
        said = sentence(
            verdicts(self._task.space, self._found, self._task.objectives, self._task.constraints), self._called
        )
        lines += _hanging(said)
        if not self._last:
            return lines
        best = self._archive.genomes[closest_to_ideal(self._archive.losses)]
        if recommended:
            best = recommended.chosen.genome
            lines += _hanging(recommended.sentence)
        export = f"nasctl export --arch {self._id(best)}{self._weights(best)}"
        then = f"nasctl pareto plot{self._options}", f"{export}{self._options}"
        return [*lines, f"next: {then[0]}", f"      {then[1]}"]

    def _early_end(self) -> list[str]:
        """Return the sentence on why the search visited fewer candidates than its budget; none if it did not."""
        number, limited = len(self._found), self._limit is not None
        if number >= self._budget or (limited and not number):
            return []
        if not self._late:
            return ["the search ended early: the space, or the searcher's way through it, is used up"]
        done = f"{number:,} of {terminal.plural(self._budget, 'candidate')}"
        return [f"--time ended the search after {done}; the same command goes on"]

    def _weights(self, genome: Genome) -> str:
        """Return the further options of `nasctl export` for a network that has weights, as those of a supernet."""
        given = [one.shared_weights for one in self._task.metrics.values() if isinstance(one, HasSharedWeights)]
        return next((f" --weights {name}" for name in given if name), "")

    def interrupted(self, command: str) -> list[str]:
        """Return the lines for an interrupted search; the same command resumes it."""
        number = terminal.plural(len(self._found), "candidate")
        return ["", f"stopped after {number}; this goes on:", f"  {command}"]

    def json(self, recommended: Recommended | None = None) -> str:
        """Return the result as JSON, for programs.

        Args:
            recommended: The recommended network of the run, if it is to be named.
        """
        more = {"recommended": self._id(recommended.chosen.genome), "why": recommended.reason} if recommended else {}
        return json.dumps({**self.json_values(), **more})

    def json_values(self) -> dict[str, Any]:
        """Return the result as JSON has it."""
        task = self._task
        judged = {
            one.name: {
                "id": self._id(one.genome),
                "feasible": one.feasible,
                "dominated_by": one.dominated_by and self._id(one.dominated_by),
            }
            for one in verdicts(task.space, self._found, task.objectives, task.constraints)
        }
        return {
            "run": self._run.name,
            "evaluations": self._proposed,
            "distinct": len(self._found),
            "failed": self._failed,
            "front": [self._id(found.genome) for found in front(self._found, task.objectives, task.constraints)],
            "seconds": round(time.monotonic() - self._start, 3),
            **({"references": judged} if judged else {}),
        }

    def _called(self, genome: Genome) -> str:
        """Return the name of a reference network, or the id of another candidate."""
        return reference_names(self._task.space).get(genome) or self._id(genome)

    def _id(self, genome: Genome) -> str:
        """Return the id of a candidate."""
        return ids.encode(self._run.space, self._task.space.genes, genome)


def _hanging(sentence: str) -> list[str]:
    """Return a sentence in lines that fit on the terminal, the first one without an indent. Ids are not broken."""
    width = min(LINE, terminal.terminal_width(sys.stderr))
    return wrap(sentence, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _sizes(space: SearchSpace) -> str:
    """Return the shape of an input of the space's networks, or the smallest and the largest one: "3x224x224"."""
    ends = (tuple(end % len(gene.choices) for gene in space.genes) for end in (0, -1))
    shapes = [space.network(space.canonical(genome)).input_shapes[0] for genome in ends]
    least, most = sorted(shapes, key=math.prod)
    return " to ".join("x".join(map(str, shape)) for shape in dict.fromkeys((least, most)))

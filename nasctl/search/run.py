"""A run, as a person asks for it: specs, seeds, and the name that follows from them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np

from nasctl import registry
from nasctl.candidates.objective import HasLabel, HasRemarks, Objective, closed_form
from nasctl.candidates.setting import DEFAULT_SETTING, Setting
from nasctl.errors import NasctlError
from nasctl.evaluation import ranges
from nasctl.evaluation.executor import Executor
from nasctl.evaluation.measure import measure
from nasctl.evaluation.search_problem import SearchProblem
from nasctl.evaluation.task import Task
from nasctl.problem import constraints
from nasctl.problem.searcher import HasNeeds
from nasctl.problem.space import SearchSpace
from nasctl.search import applicability
from nasctl.search.loop import Visit, search
from nasctl.search.machine import machine_of
from nasctl.search.metrics import device_of, make_objective
from nasctl.store.store import Store
from nasctl.version import __version__

LIBRARIES = ("numpy", "pymoo", "scikit-learn", "torch")  # whose versions a run notes


@dataclass(frozen=True)
class Run:
    """What was asked for, in the words of the command line.

    Args:
        space: Spec of the space, such as "nb201:channels=16".
        objectives: Specs of what to optimise; "latency@gpu" is short for "latency:device=gpu".
        searcher: Spec of the searcher.
        seed: Of the searcher; that of weights and data belongs to the setting.
        setting: What measured values depend on besides the genome.
        record: Specs of what to measure besides.
        constraints: Such as "latency<=20"; see `nasctl.constraints`.
        called: A name to give to the run in place of its own.
        options: All that the command line said, by the names of its options, to be kept with the run; see `config`.
    """

    space: str
    objectives: tuple[str, ...]
    searcher: str = "guided"
    seed: int = 0
    setting: Setting = DEFAULT_SETTING
    record: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    called: str = field(default="", compare=False)
    options: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @cached_property
    def asked(self) -> dict[str, Any]:
        """The question, with the defaults of space and searcher written out: the same for all ways to put it.

        Raises:
            NasctlError: A spec names something that does not exist.
        """
        return {
            "space": registry.spelled_out("spaces", self.space),
            "objectives": list(self._optimised),
            "record": list(self._recorded),
            "constraints": [str(constraint) for constraint in self.task.constraints],
            "searcher": registry.spelled_out("searchers", self.searcher),
            "seed": self.seed,
            "setting": str(self.task.setting),
            # A latency by another table is another question, whatever the device is called.
            "tables": {name: one.version for name, one in self.task.metrics.items() if isinstance(one, HasLabel)},
        }

    @property
    def name(self) -> str:
        """Such as "nbmacro-1c9f2a07": the same question has the same name, so asking again resumes."""
        digest = hashlib.sha256(json.dumps(self.asked).encode()).hexdigest()
        return self.called or f"{self.asked['space'].partition(':')[0]}-{digest[:8]}"

    @property
    def config(self) -> dict[str, Any]:
        """Its options with every default in what they name written out, so that they repeat it on their own."""
        asked, written = self.asked, {"objective": list(self.objectives), "fidelity": str(self.setting.fidelity)}
        return {**self.options, "space": asked["space"], "searcher": asked["searcher"], **written}

    @cached_property
    def task(self) -> Task:
        """What is searched, with everything made.

        Raises:
            NasctlError: A spec names something that does not exist, or a constraint makes no sense.
        """
        space = registry.create("spaces", self.space)
        metrics, also = self._optimised, dict(self._recorded)
        if not metrics:
            raise NasctlError("a search needs at least one objective; give it with --objective")
        bounds_asked = [text for given in self.constraints for text in given.split(",")]
        for text in bounds_asked:
            subject = constraints.subject(text)
            if not any(name == subject or name.startswith(f"{subject}@") for name in {**metrics, **also}):
                also |= self._metrics((subject,))
        known = metrics | also
        applicability.refuse_inapplicable(space, known)
        held = tuple(
            constraints.parse(text, list(known), lambda name: self._maximum(space, name, known[name]))
            for text in bounds_asked
        )
        return Task(space, known, self.setting, frozenset(also.keys() - metrics.keys()), held)

    @cached_property
    def remarks(self) -> dict[str, list[str]]:
        """What people are to know of each metric on this space, such as a device's processor and error."""
        space = self.task.space
        example = space.network(ranges.sample(space, 1)[0])
        return {
            name: metric.remarks(self.space, example) if isinstance(metric, HasRemarks) else []
            for name, metric in self.task.metrics.items()
        }

    def check(self, here: bool = True) -> list[str]:
        """Find what cannot work before anything is written; returns what to tell a person before the search.

        Args:
            here: Whether it is this process that runs modules.

        Raises:
            NasctlError: A spec names something that does not exist or takes no such option, a device lacks a block, or
                a constraint can be met by no candidate.
        """
        task = self.task
        searcher = registry.create("searchers", self.searcher, SearchProblem(task), np.random.default_rng(self.seed))
        here = here or (
            isinstance(searcher, HasNeeds) and "supernet" in searcher.needs
        )  # those are measured in this process, always
        cheap = {name: name for name, metric in task.metrics.items() if closed_form(metric)}
        measure(task, ranges.sample(task.space, 1)[0], cheap)
        if here and len(cheap) < len(task.metrics):
            from nasctl.candidates.determinism import usable_device

            usable_device(task.setting.device)
        found = [
            ranges.doubt(task.space, task.metrics[constraint.name], constraint, task.setting)
            for constraint in task.constraints
            if constraint.name in cheap
        ]
        return [sentence for sentence in found if sentence]

    def search(
        self, store: Store, budget: int, deadline: float = math.inf, executor: Executor | None = None
    ) -> Iterator[Visit]:
        """Search, or go on, until the run has visited `budget` different genomes; yields all of them.

        Args:
            store: Where to record it.
            budget: Different genomes to visit.
            deadline: Of `time.monotonic()`, after which no further genome is begun.
            executor: Where modules are measured, as `nasctl.workers` opens it; in this process if none is given.

        Raises:
            NasctlError: A spec names something that does not exist, or something else is the user's to mend.
        """
        task = self.task
        searcher = registry.create("searchers", self.searcher, SearchProblem(task), np.random.default_rng(self.seed))
        versions = {"nasctl": __version__, **{name: version(name) for name in LIBRARIES}}
        record = task.record(self.asked["space"], self.asked, versions, self.remarks)
        record = replace(record, config=self.config if self.options else {}, machines=(machine_of(task),))
        yield from search(task, searcher, store.journal(self.name, record), budget, deadline, executor)

    @cached_property
    def _optimised(self) -> dict[str, Objective]:
        """The objectives by name, made once: a latency table takes a while to read."""
        return self._metrics(self.objectives)

    @cached_property
    def _recorded(self) -> dict[str, Objective]:
        """The metrics to record beside the objectives, by name."""
        return self._metrics(self.record)

    def _metrics(self, specs: tuple[str, ...]) -> dict[str, Objective]:
        made: dict[str, Objective] = {}
        for spec in specs:
            name, objective = make_objective(spec, self.space)
            if name in made:
                raise NasctlError(f"the objective {name!r} is given twice; leave one out")
            if twin := next(
                (other for other, one in made.items() if device_of(one) == device_of(objective) != ""), None
            ):
                raise NasctlError(f"{twin!r} and {name!r} are one device, {device_of(objective)}; leave one out")
            made[name] = objective
        return made

    def _maximum(self, space: SearchSpace, name: str, objective: Objective) -> float:
        if not closed_form(objective):
            raise NasctlError(f"a percentage needs a quantity whose maximum is known before the search, not {name!r}")
        return ranges.bounds(space, objective, self.setting).most

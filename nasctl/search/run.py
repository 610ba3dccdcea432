"""A run: the question of a search as specs and seeds, and the name that follows from them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from nasctl import registry
from nasctl.architectures import ids
from nasctl.candidates.objective import (
    ChecksSetting,
    FilesTrainings,
    HasLabel,
    HasRemarks,
    HasSettingRemarks,
    Objective,
    closed_form,
)
from nasctl.candidates.reversed_objective import measured_name
from nasctl.candidates.setting import DEFAULT_SETTING, Setting
from nasctl.errors import NasctlError
from nasctl.evaluation import ranges
from nasctl.evaluation.executor import Executor
from nasctl.evaluation.machine import machine_of
from nasctl.evaluation.measure import measure
from nasctl.evaluation.search_problem import SearchProblem
from nasctl.evaluation.task import Task
from nasctl.problem import constraints
from nasctl.problem.defaults import SIZES
from nasctl.problem.searcher import HasNeeds, Searcher
from nasctl.problem.space import Genome, SearchSpace
from nasctl.registry.version import __version__
from nasctl.search import applicability
from nasctl.search.loop import Visit, search
from nasctl.search.metrics import device_of, make_objective
from nasctl.search.reference_bounds import GivenBound, with_number
from nasctl.store.store import Store
from nasctl.system.argument_types import check_arguments

LIBRARIES = ("numpy", "pymoo", "scikit-learn", "torch")  # libraries with versions that a run records


@dataclass(frozen=True)
class Run:
    """One search, described by the words of the command line.

    Args:
        space: Spec of the search space, such as "nb201:channels=16".
        objectives: Specs of the objectives; "latency@gpu" is short for "latency:device=gpu".
        searcher: Spec of the searcher.
        seed: Seed of the searcher. The seed of weights and data belongs to the setting.
        setting: The setting that measured values depend on.
        record: Specs of metrics to record beside the objectives.
        constraints: Bounds such as "latency<=20", see `nasctl.problem.constraints`, or such as
            "latency<=mobilenetv3-large", which is that reference network's own latency.
        called: Name of the run; "" for the name that follows from the question.
        options: Options of the command line by name, which are stored with the run; see `config`.
        trained_for: What the networks are to be trained for, one of `nasctl.problem.defaults.TASKS`, which the score of
            the run follows; "" for what is usual in the family of the space.
        references: Canonical genomes that are evaluated first and bred from, such as those of the published networks of
            the space; none by default, as in runs of earlier versions. An empty tuple says that none is wanted, which
            is part of the question.
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
    trained_for: str = field(default="", compare=False)
    references: tuple[Genome, ...] | None = None

    def __post_init__(self) -> None:
        check_arguments("make a run", Run, vars(self))
        for name in ("objectives", "record", "constraints"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # lists would make equal runs unequal

    @cached_property
    def asked(self) -> dict[str, Any]:
        """The question of the run as JSON has it. It has the defaults of plug-ins, so equal questions have equal text.

        Raises:
            NasctlError: A spec names something that does not exist.
        """
        genes, first = self.task.space.genes, dict[str, Any]()
        if self.references is not None:  # runs of earlier versions have no such key
            first["references"] = [ids.encode(self.space, genes, one) for one in self.references]
        return {
            "space": registry.spelled_out("spaces", self.space),
            "objectives": list(self._optimised),
            "record": list(self._recorded),
            "constraints": [str(constraint) for constraint in self.task.constraints],
            "searcher": registry.spelled_out("searchers", self.searcher),
            "seed": self.seed,
            "setting": str(self.task.setting),
            # A latency from another table is another question, even if the devices have the same name.
            "tables": {name: one.version for name, one in self.task.metrics.items() if isinstance(one, HasLabel)},
            **first,
        }

    @property
    def name(self) -> str:
        """The name of the run, such as "nbmacro-1c9f2a07".

        It ends in a digest of the question, so the same question resumes the run.
        """
        digest = hashlib.sha256(json.dumps(self.asked).encode()).hexdigest()
        return self.called or f"{registry.short_name(self.asked['space'])}-{digest[:8]}"

    @property
    def config(self) -> dict[str, Any]:
        """The options of the command line that repeat the run, with the defaults of plug-ins written out."""
        specs = {"space": self.asked["space"], "searcher": self.asked["searcher"]}
        return {
            **self.options,
            **specs,
            "objective": list(self.objectives),
            "fidelity": str(self.setting.fidelity),
        }

    @cached_property
    def task(self) -> Task:
        """The task of the run.

        Raises:
            NasctlError: A spec names something that does not exist, an objective does not apply to the space, or a
                constraint makes no sense.
        """
        space = registry.create("spaces", self.space)
        objectives, others = self._optimised, dict(self._recorded)
        if not objectives:
            raise NasctlError("a search needs at least one objective; give it with --objective")
        for given in self.bounds:
            subject = constraints.subject(given.text)
            if not any(name == subject or name.startswith(f"{subject}@") for name in {**objectives, **others}):
                others |= self._metrics((subject,))
        metrics = objectives | others
        applicability.refuse_inapplicable(space, metrics)
        units = {name: metric.unit for name, metric in metrics.items()}
        parsed = tuple(
            constraints.parse(given.text, list(metrics), lambda name: self._maximum(space, name, metrics[name]), units)
            for given in self.bounds
        )
        # Scores of a run are ranks of its metrics and sizes. A run of costs alone has no score.
        scored = not all(map(closed_form, metrics.values()))
        filed = dict(make_objective(name) for name in SIZES if name not in metrics) if scored else {}
        return Task(space, metrics, self.setting, frozenset(others.keys() - objectives.keys()), parsed, filed)

    @cached_property
    def bounds(self) -> tuple[GivenBound, ...]:
        """The constraints with numbers, in the order of `Task.constraints`.

        Raises:
            NasctlError: A bound names no reference network, or one whose value is not known before the search.
        """
        space, known = registry.create("spaces", self.space), self._optimised | self._recorded

        def metric(subject: str) -> tuple[str, Objective]:
            named = [name for name in known if subject.replace("-", "_") in (name, name.partition("@")[0])]
            return (named[0], known[named[0]]) if named else next(iter(self._metrics((subject,)).items()))

        texts = [text for given in self.constraints for text in given.split(",")]
        return tuple(with_number(text, space, self.setting, metric) for text in texts)

    @cached_property
    def remarks(self) -> dict[str, list[str]]:
        """Remarks on each metric on this space by name, such as the processor and the error of a device."""
        space = self.task.space
        example = space.network(ranges.sample(space, 1)[0])
        found = {
            name: list(metric.remarks(self.space, example)) if isinstance(metric, HasRemarks) else []
            for name, metric in self.task.metrics.items()
        }
        for name, metric in self.task.metrics.items():
            if isinstance(metric, HasSettingRemarks):
                found[name] += metric.setting_remarks(space, self.task.setting)
        return found

    def check(self, here: bool = True) -> list[str]:
        """Check that the search can work, before anything is written.

        Args:
            here: Whether this process runs modules, so that the torch device is checked.

        Returns:
            Warnings about constraints that perhaps no candidate satisfies.

        Raises:
            NasctlError: A spec names something that does not exist or takes no such option, a device lacks a block, no
                candidate can satisfy a constraint, an objective was fitted in another setting, or torch cannot use the
                device.
        """
        task = self.task
        for name, metric in task.metrics.items():
            if isinstance(metric, ChecksSetting) and (reason := metric.wrong_setting(task.setting)):
                raise NasctlError(f"Cannot measure {name}: {reason}")
        searcher = registry.create("searchers", self.searcher, SearchProblem(task), np.random.default_rng(self.seed))
        # Mixtures are always measured in this process.
        here = here or (isinstance(searcher, HasNeeds) and "supernet" in searcher.needs)
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
        """Start or resume the search, and yield every visit of the run from the first one on.

        Args:
            store: Records the run.
            budget: Different genomes to visit.
            deadline: Value of `time.monotonic()` after which no further genome is begun.
            executor: Where modules are measured, as `nasctl.workers` opens it; this process by default.

        Raises:
            NasctlError: An argument has the wrong type, a spec names something that does not exist, or the user has to
                mend something else.
        """
        check_arguments("search", Run.search, {"store": store, "budget": budget, "deadline": deadline})
        if any(isinstance(metric, FilesTrainings) for metric in self.task.measurable.values()):
            self.file_under(store.path)
        task, searcher = self.task, self._make_searcher(store)
        versions = {"nasctl": __version__, **{name: version(name) for name in LIBRARIES}}
        record = task.record(self.asked["space"], self.asked, versions, self.remarks)
        config = self.config if self.options else {}
        record = replace(record, config=config, machines=(machine_of(task),), task=self.trained_for)
        journal = store.journal(self.name, record)
        yield from search(task, searcher, journal, budget, deadline, executor, self.references or ())

    def file_under(self, store: Path | str) -> None:
        """Tell objectives that train candidates the store of the search. Workers get copies, so call this before.

        Args:
            store: Path of the store.
        """
        for metric in self.task.measurable.values():
            if isinstance(metric, FilesTrainings):
                metric.file_under(self.asked["space"], str(Path(store).absolute()))  # workers may have another folder

    def _make_searcher(self, store: Store) -> Searcher:
        """Return a fresh searcher for the run."""
        problem, rng = SearchProblem(self.task, self.references or ()), np.random.default_rng(self.seed)
        made: Searcher = registry.create("searchers", self.searcher, problem, rng)
        return made

    @cached_property
    def _optimised(self) -> dict[str, Objective]:
        """The objectives by name, made once: a latency table takes a while to read.

        Raises:
            NasctlError: A quantity is to be minimised and maximised at once.
        """
        made = self._metrics(self.objectives)
        first: dict[str, str] = {}
        for name in made:
            if (other := first.setdefault(measured_name(name), name)) != name:
                raise NasctlError(
                    f"Cannot optimise {other!r} and {name!r}: they are one quantity in opposite directions, so no"
                    " network would dominate one with another value. Leave one out."
                )
        return made

    @cached_property
    def _recorded(self) -> dict[str, Objective]:
        """The metrics to record beside the objectives, by name."""
        return self._metrics(self.record)

    def _metrics(self, specs: tuple[str, ...]) -> dict[str, Objective]:
        """Make objectives from their specs, by name.

        Raises:
            NasctlError: An objective or a device is given twice.
        """
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
        """Return the maximum of an objective over the space, which a percentage refers to.

        Raises:
            NasctlError: The objective needs a module, so its maximum is unknown.
        """
        if not closed_form(objective):
            raise NasctlError(f"a percentage needs a quantity whose maximum is known before the search, not {name!r}")
        return ranges.bounds(space, objective, self.setting).most

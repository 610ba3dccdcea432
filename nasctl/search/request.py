"""A search as a user asks for it: the options of `nasctl search`, from which a run follows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice, product
from textwrap import wrap
from typing import Any

from nasctl import registry
from nasctl.architectures.references import reference_names
from nasctl.candidates.objective import closed_form
from nasctl.candidates.setting import Setting, make_setting
from nasctl.correlations.space_evidence import space_evidence
from nasctl.problem.defaults import DEFAULT_SEARCHER
from nasctl.problem.space import Genome, SearchSpace, past_fidelities
from nasctl.search.default_objectives import default_objectives, objective_doubts, past_defaults, space_kind
from nasctl.search.recorded import recorded_references
from nasctl.search.run import Run
from nasctl.store.run_record import RunRecord
from nasctl.store.store import Store
from nasctl.system.argument_types import check_arguments, check_least

LINE = 80  # characters of a line of remarks

References = tuple[Genome, ...] | None  # genomes that a run begins with; see `Run`


@dataclass(frozen=True)
class SettingOptions:
    """Conditions of measurements as a user names them; the search space completes them.

    Args:
        fidelity: A level such as "balanced", or bounds such as "size=64,batch=32"; the default of the space if empty.
        data: The name or path of examples for metrics; the default of the space's input if None.
        weights_seed: Seed of weights and data.
        torch_device: The torch device that modules run on.
        threads: Threads of torch in each process. The last digits of values depend on it.
    """

    fidelity: str = ""
    data: str | None = None
    weights_seed: int = 0
    torch_device: str = "cpu"
    threads: int = 1

    def __post_init__(self) -> None:
        check_arguments("set conditions of measurements", SettingOptions, vars(self))
        check_least("set conditions of measurements", 1, threads=self.threads)

    def setting(self, space: SearchSpace) -> Setting:
        """Return the setting of measurements on a search space.

        Raises:
            NasctlError: The fidelity or the data does not exist, or does not fit the space.
        """
        return make_setting(space, self.fidelity, self.data, self.weights_seed, self.torch_device, self.threads)

    def past_settings(self, space: SearchSpace) -> list[Setting]:
        """Return the settings that the same words meant on a search space in earlier versions, newest first.

        Raises:
            NasctlError: The fidelity or the data does not exist, or does not fit the space.
        """
        today = self.setting(space)
        return [replace(today, fidelity=past) for past in past_fidelities(space, self.fidelity)]


@dataclass(frozen=True)
class SearchRequest:
    """Options of a search that determine its run, apart from the setting of measurements.

    Args:
        space: Spec of the search space, such as "nb201:channels=16".
        devices: Names of devices, or files of latency tables; the latency on each becomes an objective.
        objectives: Specs of objectives; if empty, those that measurements favour on spaces of this family.
        record: Specs of metrics to record besides.
        constraints: Bounds such as "latency<=20".
        searcher: Spec of the search algorithm.
        seed: Seed of the search algorithm.
        name: A name for the run, in place of the default one.
        task: What the networks are to be trained for, one of `nasctl.problem.defaults.TASKS`, which default objectives
            follow; "" for what is usual in the family of the space.
        references: Whether the published networks of the space are evaluated first and bred from.
    """

    space: str
    devices: tuple[str, ...] = ()
    objectives: tuple[str, ...] = ()
    record: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    searcher: str = DEFAULT_SEARCHER
    seed: int = 0
    name: str = ""
    task: str = ""
    references: bool = True

    def run(self, setting: SettingOptions, options: Mapping[str, Any] | None = None, store: Store | None = None) -> Run:
        """Return the run, with default objectives filled in.

        Args:
            setting: Conditions of measurements.
            options: Every option of the command line by its name, to be stored with the run.
            store: Store in which a run may be found that was started with the default objectives, the bounds of a
                named fidelity, or the published networks, of an earlier version. Such a run is returned with its own
                objectives, fidelity and published networks, so that the same words resume it.

        Raises:
            NasctlError: A spec names something that does not exist.
        """
        space = registry.create("spaces", self.space)
        lists: list[Sequence[str]] = [registry.split(self.objectives)]
        if not lists[0]:
            with_device = bool(registry.listed(self.devices))
            lists = [default_objectives(self.space, space, self.task, with_device).objectives]
            lists += past_defaults(self.space, space, self.task, with_device) if store else []
        settings = [setting.setting(space), *setting.past_settings(space)]
        named = reference_names(space)
        today: References = (tuple(named) if self.references else ()) if named else None
        run = self._run(space, lists[0], settings[0], options, today)
        records = {one.name: one.record for one in store.runs()} if store else {}
        spec = registry.spelled_out("spaces", self.space) if records else ""
        records = {name: one for name, one in records.items() if one.space == spec}
        if not records:
            return run
        began = self._past_references(space, today, records.values())
        choices = islice(product(settings, lists, began), 1, None)  # the first choice is the run above
        others = (self._run(space, objectives, one, options, first) for one, objectives, first in choices)
        meant = chain([run], others)
        return next((one for one in meant if one.name in records and _is_recorded(one, records[one.name])), run)

    def _past_references(self, space: SearchSpace, today: References, records: Iterable[RunRecord]) -> list[References]:
        """Return the published networks that runs of this space may have begun with, those of today first.

        Runs of earlier versions began with others, or with none, which is also what `references=False` asks for.
        """
        if not self.references:
            return list(dict.fromkeys([today, None]))
        recorded = [recorded_references(one, space.genes) for one in records]
        return list(dict.fromkeys([today, *(one for one in recorded if one), None]))

    def remarks(self, run: Run, setting: SettingOptions | None = None) -> list[str]:
        """Return lines for people on the objectives of a run, by measured correlations, and on an earlier fidelity.

        Args:
            run: The run, as `run` returned it.
            setting: Conditions of measurements as `run` got them; None for no line on the fidelity.

        Raises:
            NasctlError: A spec names something that does not exist.
        """
        space = registry.create("spaces", self.space)
        lines = [*self._objective_remarks(space, run), *self._reference_remarks(space, run)]
        own, today = run.setting.fidelity, setting.setting(space).fidelity if setting else run.setting.fidelity
        if own == today:
            return lines
        sentence = f"goes on with the run's own fidelity, {own}; the same option now means {today}, another run"
        return [*lines, *wrap(sentence, LINE, subsequent_indent="  ")]

    def _reference_remarks(self, space: SearchSpace, run: Run) -> list[str]:
        """Return the line of `remarks` for a run that began with other published networks than today's."""
        today = tuple(reference_names(space))
        if not self.references or not today or run.references == today:
            return []
        began = f"{len(run.references)} other reference networks" if run.references else "no reference networks"
        sentence = f"goes on as it began, with {began}; a new run begins with {len(today)}"
        return wrap(sentence, LINE, subsequent_indent="  ")

    def _objective_remarks(self, space: SearchSpace, run: Run) -> list[str]:
        """Return the lines of `remarks` on objectives."""
        given = {name: one for name, one in run.task.metrics.items() if name not in run.task.recorded}
        metrics = [name for name, one in given.items() if not closed_form(one)]
        evidence = space_evidence(space_kind(self.space, space, self.task), metrics)
        lines = wrap(evidence, LINE, subsequent_indent="  ", break_on_hyphens=False)
        if registry.split(self.objectives):
            doubts = objective_doubts(self.space, space, self.task, given)
            return [*(f"Warning: {one}" for one in doubts), *lines]
        newest = default_objectives(self.space, space, self.task, bool(registry.listed(self.devices)))
        if run.objectives[: len(newest.objectives)] == newest.objectives:
            return lines or wrap(newest.evidence, LINE, subsequent_indent="  ")
        listed = ", ".join(run.objectives)
        today = ",".join(newest.objectives)
        sentence = f"goes on with the run's own objectives, {listed}; the defaults are now -o {today}, another run"
        return [*wrap(sentence, LINE, subsequent_indent="  "), *lines]

    def _run(
        self,
        space: SearchSpace,
        objectives: Sequence[str],
        setting: Setting,
        options: Mapping[str, Any] | None,
        references: References,
    ) -> Run:
        """Return the run with these objectives, the latency on each device, and these genomes first."""
        devices = registry.listed(self.devices)
        # With devices, each adds its own latency in place of a bare "latency".
        objectives = [spec for spec in objectives if spec != "latency" or not devices]
        objectives += [f"latency@{device}" for device in devices]
        return Run(
            space=self.space,
            objectives=tuple(dict.fromkeys(objectives)),
            searcher=self.searcher,
            seed=self.seed,
            setting=setting,
            record=tuple(registry.split(self.record)),
            constraints=self.constraints,
            called=self.name,
            options=options or {},
            trained_for=self.task,
            references=references,
        )


def _is_recorded(run: Run, record: RunRecord) -> bool:
    """Return whether a record has the objectives, the setting and the first genomes of a run of the same name."""
    return all(record.asked.get(key) == run.asked.get(key) for key in ("objectives", "setting", "references"))

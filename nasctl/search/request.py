"""A search as a user asks for it: the options of `nasctl search`, from which a run follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

from nasctl import registry
from nasctl.candidates.setting import Setting, make_setting
from nasctl.defaults import DEFAULT_SEARCHER
from nasctl.problem.space import SearchSpace
from nasctl.search.default_objectives import default_objectives, objective_doubts, past_defaults
from nasctl.search.run import Run
from nasctl.store.store import Store

LINE = 80  # characters of a line of remarks


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

    def setting(self, space: SearchSpace) -> Setting:
        """Return the setting of measurements on a search space.

        Raises:
            NasctlError: The fidelity or the data does not exist, or does not fit the space.
        """
        return make_setting(space, self.fidelity, self.data, self.weights_seed, self.torch_device, self.threads)


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
        task: What the networks are to be trained for, one of `nasctl.defaults.TASKS`, which default objectives follow;
            "" for what is usual in the family of the space.
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

    def run(self, setting: SettingOptions, options: Mapping[str, Any] | None = None, store: Store | None = None) -> Run:
        """Return the run, with default objectives filled in.

        Args:
            setting: Conditions of measurements.
            options: Every option of the command line by its name, to be stored with the run.
            store: Store in which a run may be found that was started with the default objectives of an earlier version.
                Such a run is returned with its own objectives, so that the same words resume it.

        Raises:
            NasctlError: A spec names something that does not exist.
        """
        space = registry.create("spaces", self.space)
        given = registry.split(self.objectives)
        if given:
            return self._run(space, given, setting, options)
        with_device = bool(registry.listed(self.devices))
        newest = default_objectives(self.space, space, self.task, with_device).objectives
        run = self._run(space, newest, setting, options)
        if store is None or self._started(store, run):
            return run
        lists = past_defaults(self.space, space, self.task, with_device)
        earlier = (self._run(space, past, setting, options) for past in lists)
        return next((past for past in earlier if self._started(store, past)), run)

    def remarks(self, run: Run) -> list[str]:
        """Return lines for people on what measured correlations say of the objectives of a run.

        Args:
            run: The run, as `run` returned it.

        Raises:
            NasctlError: A spec names something that does not exist.
        """
        space = registry.create("spaces", self.space)
        if registry.split(self.objectives):
            given = {name: one for name, one in run.task.metrics.items() if name not in run.task.recorded}
            return [f"Warning: {one}" for one in objective_doubts(self.space, space, self.task, given)]
        newest = default_objectives(self.space, space, self.task, bool(registry.listed(self.devices)))
        if run.objectives[: len(newest.objectives)] == newest.objectives:
            return wrap(newest.evidence, LINE, subsequent_indent="  ")
        listed = ", ".join(run.objectives)
        today = ",".join(newest.objectives)
        sentence = f"goes on with the run's own objectives, {listed}; the defaults are now -o {today}, another run"
        return wrap(sentence, LINE, subsequent_indent="  ")

    def _run(
        self, space: SearchSpace, objectives: Sequence[str], setting: SettingOptions, options: Mapping[str, Any] | None
    ) -> Run:
        """Return the run with these objectives and the latency on each device."""
        devices = registry.listed(self.devices)
        # With devices, each adds its own latency in place of a bare "latency".
        objectives = [spec for spec in objectives if spec != "latency" or not devices]
        objectives += [f"latency@{device}" for device in devices]
        return Run(
            space=self.space,
            objectives=tuple(dict.fromkeys(objectives)),
            searcher=self.searcher,
            seed=self.seed,
            setting=setting.setting(space),
            record=tuple(registry.split(self.record)),
            constraints=self.constraints,
            called=self.name,
            options=options or {},
        )

    @staticmethod
    def _started(store: Store, run: Run) -> bool:
        """Return whether a store has a run, by its name and its objectives."""
        found = {one.name: one.record for one in store.runs()}
        record = found.get(run.name)
        return record is not None and record.asked.get("objectives") == run.asked["objectives"]

"""A search as a user asks for it: the options of `nasctl search`, from which a run follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nasctl import registry
from nasctl.candidates.setting import Setting, make_setting
from nasctl.defaults import DEFAULT_COST, DEFAULT_COUNT, DEFAULT_OBJECTIVES, DEFAULT_SEARCHER
from nasctl.problem.space import SearchSpace
from nasctl.search.applicability import first_applicable
from nasctl.search.run import Run


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
        objectives: Specs of objectives; the defaults that apply to the space if empty.
        record: Specs of metrics to record besides.
        constraints: Bounds such as "latency<=20".
        searcher: Spec of the search algorithm.
        seed: Seed of the search algorithm.
        name: A name for the run, in place of the default one.
    """

    space: str
    devices: tuple[str, ...] = ()
    objectives: tuple[str, ...] = ()
    record: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    searcher: str = DEFAULT_SEARCHER
    seed: int = 0
    name: str = ""

    def run(self, setting: SettingOptions, options: Mapping[str, Any] | None = None) -> Run:
        """Return the run, with default objectives filled in.

        Args:
            setting: Conditions of measurements.
            options: Every option of the command line by its name, to be stored with the run.

        Raises:
            NasctlError: A spec names something that does not exist.
        """
        devices, space = registry.listed(self.devices), registry.create("spaces", self.space)
        objectives = registry.split(self.objectives)
        if not objectives:
            objectives = [*first_applicable(space, DEFAULT_OBJECTIVES, DEFAULT_COUNT)]
            objectives += [] if devices else [DEFAULT_COST]
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

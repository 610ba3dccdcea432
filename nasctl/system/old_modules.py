"""Modules by the paths that nasctl 0.1 gave them before its modules became packages, and of modules that moved since.

`from nasctl.truth import read` keeps working: the old path is a module that looks every name up in the modules that
replaced it, and importing that module warns once with `RenamedWarning`.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType

# The modules that replaced each module, in the order in which a name is looked up in them.
MODULES: Mapping[str, Sequence[str]] = {
    "nasctl.aggregate": ("nasctl.analysis.aggregate",),
    "nasctl.archive": ("nasctl.pareto.archive", "nasctl.pareto.knee"),
    "nasctl.bounds": ("nasctl.evaluation.ranges",),
    "nasctl.candidate": (
        "nasctl.candidates.candidate",
        "nasctl.candidates.setting",
        "nasctl.candidates.objective",
        "nasctl.candidates.applicability",
    ),
    "nasctl.compare": ("nasctl.analysis.compare_runs", "nasctl.analysis.compare_runs_plot"),
    "nasctl.constraints": ("nasctl.problem.constraints",),
    "nasctl.correlation": ("nasctl.analysis.rank_correlation",),
    "nasctl.description": ("nasctl.architectures.architecture",),
    "nasctl.evidence": ("nasctl.candidates.shared_pass", "nasctl.candidates.sign_codes", "nasctl.candidates.curvature"),
    "nasctl.executor": ("nasctl.evaluation.executor",),
    "nasctl.files": ("nasctl.system.files",),
    "nasctl.free": ("nasctl.architectures.from_json",),
    "nasctl.ids": ("nasctl.architectures.ids", "nasctl.problem.ids"),
    "nasctl.indicators": ("nasctl.pareto.hypervolume", "nasctl.pareto.hypervolume_scale"),
    "nasctl.journal": ("nasctl.store.measurements", "nasctl.store.run_log"),
    "nasctl.layerwise": ("nasctl.candidates.layer_sum",),
    "nasctl.loading": ("nasctl.facade.loading",),
    "nasctl.networks.leaves": ("nasctl.networks.torch_layers",),
    "nasctl.networks.mixing": ("nasctl.networks.token_mixing", "nasctl.networks.torch_modules"),
    "nasctl.networks.module": ("nasctl.networks.torch_modules", "nasctl.networks.executable"),
    "nasctl.networks.source": ("nasctl.networks.python_source",),
    "nasctl.networks.traced": ("nasctl.networks.from_module",),
    "nasctl.networks.tracing": ("nasctl.networks.module_trace", "nasctl.networks.recorder"),
    "nasctl.pick": ("nasctl.analysis.pick",),
    "nasctl.plot": ("nasctl.drawing.pareto", "nasctl.drawing.canvas"),
    "nasctl.plugins": ("nasctl.registry.plugins",),
    "nasctl.record": ("nasctl.store.run_record",),
    "nasctl.recount": ("nasctl.networks.flop_count",),
    "nasctl.roles": ("nasctl.candidates.transformer_layers", "nasctl.candidates.applicability"),
    "nasctl.run": ("nasctl.search.run",),
    "nasctl.samples": ("nasctl.candidates.per_sample_gradients",),
    "nasctl.sampling": ("nasctl.problem.sampling",),
    "nasctl.schema": ("nasctl.store.schema",),
    "nasctl.scoring": ("nasctl.analysis.score",),
    "nasctl.search.from_python": ("nasctl.facade.search", "nasctl.facade.result"),
    "nasctl.truth": ("nasctl.architectures.known_values",),
    "nasctl.values": (
        "nasctl.problem.searcher",
        "nasctl.problem.space",
        "nasctl.problem.fidelity",
        "nasctl.problem.mixture",
    ),
    "nasctl.version": ("nasctl.registry.version",),
    "nasctl.worth": ("nasctl.analysis.correlate", "nasctl.analysis.run_scores", "nasctl.analysis.timing"),
}


class OldModules:
    """A finder and loader of the modules of `MODULES`; Python asks it for modules that no other finder has."""

    def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name in MODULES else None  # type: ignore[arg-type]  # without importlib.abc

    def create_module(self, spec: ModuleSpec) -> None:
        return None  # a plain module

    def exec_module(self, module: ModuleType) -> None:
        from nasctl.errors import RenamedWarning  # imported late: every start of nasctl imports this module

        old = module.__name__
        homes = [import_module(home) for home in MODULES[old]]
        warnings.warn(f"the module {old!r} is now {', '.join(MODULES[old])}; import from there", RenamedWarning, 2)

        def lookup(name: str) -> object:
            for home in homes:
                if hasattr(home, name):
                    return getattr(home, name)
            raise AttributeError(f"module {old!r} has no attribute {name!r}; see {', '.join(MODULES[old])}")

        module.__dict__["__getattr__"] = lookup


def install() -> None:
    """Make the old paths importable."""
    if not any(isinstance(finder, OldModules) for finder in sys.meta_path):
        sys.meta_path.append(OldModules())

"""Plug-ins as they are installed: nasctl's own, and those of other distributions, of which looking imports none."""

from __future__ import annotations

import os
import pkgutil
import re
import sys
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from importlib.util import find_spec
from typing import Any

from nasctl.errors import NasctlError
from nasctl.version import __version__

KINDS = ("spaces", "objectives", "searchers", "devices", "benchmarks")
NAME = re.compile(r"\w[\w.-]*", re.ASCII)  # of a plug-in: it stands in specs, in ids, and in names of files
TRUST = "NASCTL_TRUST"  # distributions, separated by commas, whose plug-ins may run without being named


@dataclass(frozen=True)
class Plugin:
    """One plug-in as its distribution declares it."""

    kind: str
    name: str
    distribution: str = "nasctl"
    version: str = __version__
    point: EntryPoint | None = None  # None of nasctl's own, which are found by the names of their files

    @property
    def trusted(self) -> bool:
        """Whether it may run though nobody named it: nasctl's own, and those of the distributions in `TRUST`."""
        listed = os.environ.get(TRUST, "").split(",")
        return self.point is None or _normal(self.distribution) in map(_normal, listed)

    @property
    def origin(self) -> str:
        """Where it comes from, as people read it."""
        return "built in" if self.point is None else f"{self.distribution} {self.version}".strip()

    @property
    def fault(self) -> str:
        """Why it cannot be used, as far as can be told without importing it; empty where nothing is wrong."""
        if self.point is None:
            return ""
        if not NAME.fullmatch(self.name):
            return "its name is not made of letters, digits, '.', '_' and '-'"
        match = EntryPoint.pattern.match(self.point.value)
        if not match or not match["attr"]:
            return f"{self.point.value!r} is not written module:name"
        return "" if _exists(match["module"]) else f"there is no module {match['module']}"

    def load(self) -> Any:
        """Import it: its class, or a device's file.

        Raises:
            NasctlError: Another distribution's cannot be imported, or is something else.
        """
        if self.point is None:
            module = import_module(f"nasctl.{self.kind}.{self.name}")
            (public,) = module.__all__
            return getattr(module, public)
        wanted: Any = str | os.PathLike if self.kind == "devices" else type
        try:
            found = self.point.load()
            if not isinstance(found, wanted):
                raise TypeError(f"{self.point.value} is {'no path' if self.kind == 'devices' else 'no class'}")
        except (Exception, SystemExit) as error:  # whatever the code of others raises
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise NasctlError(
                f"{self.name!r} of the distribution {self.origin} cannot be imported ({reason}); mend or uninstall it"
            ) from error
        return found


def installed(kind: str) -> list[Plugin]:
    """All of a kind, by name; of one name that comes first which the name stands for, and the others are shadowed.

    Nasctl's own come before those of trusted distributions, and these before all others.
    """
    points = [point for point in _points(tuple(sys.path)) if point.group == f"nasctl.{kind}"]
    foreign = [_foreign(kind, point) for point in points]
    found = [*(Plugin(kind, name) for name in _own(kind)), *foreign]
    return sorted(found, key=lambda one: (one.name, one.point is not None, not one.trusted, one.distribution))


def available(kind: str) -> dict[str, Plugin]:
    """What each name of a kind stands for, in their order."""
    found: dict[str, Plugin] = {}
    for one in installed(kind):
        if NAME.fullmatch(one.name):
            found.setdefault(one.name, one)
    return found


@cache
def _own(kind: str) -> tuple[str, ...]:
    if kind == "devices":
        tables = (table.name for table in files("nasctl.hardware").joinpath("tables").iterdir())
        return tuple(name.removesuffix(".json") for name in tables if name.endswith(".json"))
    modules = pkgutil.iter_modules(import_module(f"nasctl.{kind}").__path__)
    return tuple(module.name for module in modules if not module.name.startswith("_"))


@cache  # by where Python looks: it reads a file of every distribution that there is
def _points(path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    return tuple(point for kind in KINDS for point in entry_points(group=f"nasctl.{kind}"))


def _foreign(kind: str, point: EntryPoint) -> Plugin:
    name, version = (point.dist.name, point.dist.version) if point.dist else ("", "")
    return Plugin(kind, point.name, name or "unknown", version or "", point)


def _normal(distribution: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", distribution.strip()).lower()


def _exists(module: str) -> bool:
    """Whether there is such a module. Packages are looked into on disk, for asking them would import them."""
    top, *parts = module.split(".")
    try:
        spec = find_spec(top)
        for part in parts:
            spec = PathFinder.find_spec(f"{spec.name}.{part}", spec.submodule_search_locations) if spec else None
    except (ImportError, ValueError):
        return False
    return spec is not None

"""The installed plug-ins: nasctl's own and those of other distributions. Listing them imports none of them."""

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
from nasctl.registry.version import __version__

KINDS = ("spaces", "objectives", "searchers", "strategies", "devices", "benchmarks", "data")

PACKAGES = {"strategies": "nasctl.supernets.strategies"}  # of nasctl's own plug-ins, where it is not nasctl.KIND

NAME = re.compile(r"\w[\w.-]*", re.ASCII)  # the form of a plug-in's name, which specs, ids and file names contain

TRUST = "NASCTL_TRUST"  # names an environment variable: distributions, separated by commas, that are trusted


@dataclass(frozen=True)
class Plugin:
    """A plug-in as its distribution declares it."""

    kind: str
    name: str
    distribution: str = "nasctl"
    version: str = __version__
    point: EntryPoint | None = None  # None for nasctl's own plug-ins, which are found by the names of their files

    @property
    def trusted(self) -> bool:
        """Whether the plug-in may run without being named: it is nasctl's own, or its distribution is in `TRUST`."""
        listed = os.environ.get(TRUST, "").split(",")
        return self.point is None or _normal(self.distribution) in map(_normal, listed)

    @property
    def origin(self) -> str:
        """The distribution and its version as people read them, or "built in"."""
        return "built in" if self.point is None else f"{self.distribution} {self.version}".strip()

    @property
    def fault(self) -> str:
        """The reason why the plug-in cannot be used, as far as is known without importing it; "" if there is none."""
        if self.point is None:
            return ""
        if not NAME.fullmatch(self.name):
            return "its name is not made of letters, digits, '.', '_' and '-'"
        match = EntryPoint.pattern.match(self.point.value)
        if not match or not match["attr"]:
            return f"{self.point.value!r} is not written module:name"
        return "" if _exists(match["module"]) else f"there is no module {match['module']}"

    def load(self) -> Any:
        """Import the plug-in and return its class, or a device's path.

        Raises:
            NasctlError: The plug-in of another distribution cannot be imported, or is neither class nor path.
        """
        if self.point is None:
            module = import_module(f"{_package(self.kind)}.{self.name}")
            (public,) = module.__all__
            return getattr(module, public)
        wanted: Any = str | os.PathLike if self.kind == "devices" else type
        try:
            found = self.point.load()
            if not isinstance(found, wanted):
                raise TypeError(f"{self.point.value} is {'no path' if self.kind == 'devices' else 'no class'}")
        except (Exception, SystemExit) as error:  # foreign code may raise anything
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise NasctlError(
                f"{self.name!r} of the distribution {self.origin} cannot be imported ({reason}); mend or uninstall it"
            ) from error
        return found


def installed(kind: str) -> list[Plugin]:
    """Return all plug-ins of a kind, sorted by name.

    Several plug-ins may have one name. The name stands for the first one, which shadows the others: nasctl's own comes
    before plug-ins of trusted distributions, and these come before all others.
    """
    points = [point for point in _points(tuple(sys.path)) if point.group == f"nasctl.{kind}"]
    foreign = [_foreign(kind, point) for point in points]
    found = [*(Plugin(kind, name) for name in _own(kind)), *foreign]
    return sorted(found, key=lambda one: (one.name, one.point is not None, not one.trusted, one.distribution))


def available(kind: str) -> dict[str, Plugin]:
    """Return the plug-in that each name of a kind stands for, sorted by name."""
    found: dict[str, Plugin] = {}
    for one in installed(kind):
        if NAME.fullmatch(one.name):
            found.setdefault(one.name, one)
    return found


def _package(kind: str) -> str:
    """Return the package of nasctl's own plug-ins of a kind."""
    return PACKAGES.get(kind, f"nasctl.{kind}")


@cache
def _own(kind: str) -> tuple[str, ...]:
    """Return the names of nasctl's own plug-ins of a kind."""
    if kind == "devices":
        tables = (table.name for table in files("nasctl.hardware").joinpath("tables").iterdir())
        return tuple(name.removesuffix(".json") for name in tables if name.endswith(".json"))
    modules = pkgutil.iter_modules(import_module(_package(kind)).__path__)
    return tuple(module.name for module in modules if not module.name.startswith("_"))


@cache  # because it reads a file of every installed distribution
def _points(path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """Return the entry points of all kinds.

    Args:
        path: The module search path, `sys.path`. It decides which distributions are found, so the cache depends on it.
    """
    return tuple(point for kind in KINDS for point in entry_points(group=f"nasctl.{kind}"))


def _foreign(kind: str, point: EntryPoint) -> Plugin:
    """Return the plug-in that an entry point declares."""
    name, version = (point.dist.name, point.dist.version) if point.dist else ("", "")
    return Plugin(kind, point.name, name or "unknown", version or "", point)


def _normal(distribution: str) -> str:
    """Return the name of a distribution in the form in which package indexes compare names."""
    return re.sub(r"[-_.]+", "-", distribution.strip()).lower()


def _exists(module: str) -> bool:
    """Return whether a module exists. Packages are searched on disk, because `find_spec` would import them."""
    top, *parts = module.split(".")
    try:
        spec = find_spec(top)
        for part in parts:
            spec = PathFinder.find_spec(f"{spec.name}.{part}", spec.submodule_search_locations) if spec else None
    except (ImportError, ValueError):
        return False
    return spec is not None

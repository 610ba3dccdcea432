"""Packages whose names are imported on first use, and packages that can be called."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from threading import RLock
from types import ModuleType

# Threads that import modules of a package at once may see some that are half imported: Python breaks the deadlock of
# two threads, each of which waits for a module that the other one is importing, in this way.
IMPORTING = RLock()


def lazy_names(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return the module functions `__getattr__` and `__dir__` of a package that imports names on first use.

    Args:
        package: Name of the package.
        homes: The module of each name. A module that ends in the name itself is what the name stands for.
    """

    def load(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = _imported(homes[name])
        return module if homes[name] == f"{package}.{name}" else getattr(module, name)

    return load, lambda: sorted({*vars(sys.modules[package]), *homes})


def make_callable(package: str, home: str) -> None:
    """Let a call of a package call the function of the same name in a module, which the first call imports.

    The function can then have the name of the package: importing a submodule sets the attribute of the parent to the
    package, and `parent.package(...)` works before and after.

    Args:
        package: Name of the package.
        home: Name of the module. It may stand above the package.
    """

    def load() -> Callable[..., object]:
        found: Callable[..., object] = getattr(_imported(home), package.rpartition(".")[2])
        return found

    def described() -> object:
        from inspect import signature  # imported late: it takes milliseconds, and `nasctl --help` calls no package

        return signature(load())

    class CallablePackage(ModuleType):
        # Properties add no frame to the call, so a warning of the function names the line that calls.
        __call__ = property(lambda self: load())
        __signature__ = property(lambda self: described())

    sys.modules[package].__class__ = CallablePackage


def _imported(home: str) -> ModuleType:
    """Import a module while no other thread imports on first use."""
    with IMPORTING:
        return import_module(home)

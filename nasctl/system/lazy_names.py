"""Packages whose names are imported on first use, and packages that can be called."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType


def lazy_names(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return the module functions `__getattr__` and `__dir__` of a package that imports names on first use.

    Args:
        package: Name of the package.
        homes: The module of each name. A module that ends in the name itself is what the name stands for.
    """

    def load(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = import_module(homes[name])
        return module if homes[name] == f"{package}.{name}" else getattr(module, name)

    return load, lambda: sorted({*vars(sys.modules[package]), *homes})


def make_callable(package: str, function: Callable[..., object]) -> None:
    """Let a call of a package call a function.

    The function can then have the name of the package: importing a submodule sets the attribute of the parent to the
    package, and `parent.package(...)` works before and after.
    """
    from inspect import signature  # imported late: it takes milliseconds, and `nasctl --help` calls no package

    class CallablePackage(ModuleType):
        __call__ = staticmethod(function)
        __signature__ = signature(function)

    sys.modules[package].__class__ = CallablePackage

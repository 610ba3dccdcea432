"""Old names of plug-ins, options, layers and library names, each with the name that replaced it.

An old name keeps working. Everything but a layer's name in a file warns once with `RenamedWarning`.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from typing import Any

from nasctl.errors import RenamedWarning

PLUGINS: Mapping[str, Mapping[str, str]] = {}  # new names by kind, such as "spaces", and old name, with "_" for "-"

# New names by kind and plug-in, such as ("spaces", "mbconv"), and old name.
OPTIONS: Mapping[tuple[str, str], Mapping[str, str]] = {}

# Layers as rows of latency tables and free architectures written by nasctl 0.1 call them.
LAYERS = {
    "Attend": "WeightedValues",
    "Image": "UnflattenMap",
    "Join": "ConcatFeatures",
    "Patches": "PatchEmbedding",
    "PlaceConv": "SeparableConv1d",
    "Positions": "PositionEmbedding",
    "Tokens": "FlattenMap",
}
_OLD_LAYERS = {new: old for old, new in LAYERS.items()}

# Methods of a search problem, which searchers of other distributions call.
PROBLEM = {"excess": "violation", "screen": "cheap_losses", "worth": "evaluate_mixture"}


class OldProblemNames:
    """A base of search problems whose methods also answer to the names that nasctl 0.1 gave them."""

    def __getattr__(self, name: str) -> Any:
        if name not in PROBLEM or not hasattr(self, PROBLEM[name]):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self, _current(PROBLEM, name, "method of a search problem"))


def current_plugin(kind: str, name: str) -> str:
    """Return the present name of a plug-in, and warn if `name` is an old one."""
    table = PLUGINS.get(kind, {})
    spelling = name.replace("-", "_")
    return _current(table, spelling, kind.removesuffix("s")) if spelling in table else name


def current_option(kind: str, plugin: str, option: str) -> str:
    """Return the present name of a plug-in's option, and warn if `option` is an old one."""
    return _current(OPTIONS.get((kind, plugin), {}), option, f"option of {plugin!r}")


def old_key(key: str) -> str:
    """Return the key of a block, such as "FlattenMap() @ 64x7x7", as a latency table of nasctl 0.1 spells it."""
    name, paren, rest = key.partition("(")
    return f"{_OLD_LAYERS.get(name, name)}{paren}{rest}"


def api_attribute(name: str) -> Any:
    """Return the object of `nasctl.api` that has an old name; `nasctl.api` has this function as its `__getattr__`.

    Raises:
        AttributeError: `nasctl.api` never had such a name.
    """
    if name not in LAYERS:
        raise AttributeError(f"module 'nasctl.api' has no attribute {name!r}")
    return getattr(sys.modules["nasctl.api"], _current(LAYERS, name, "name in nasctl.api"))


def _current(table: Mapping[str, str], name: str, noun: str) -> str:
    """Return the new name in a table, and warn; return a name that is not in the table as it is."""
    if name not in table:
        return name
    warnings.warn(f"the {noun} {name!r} is now called {table[name]!r}; use the new name", RenamedWarning, 3)
    return table[name]

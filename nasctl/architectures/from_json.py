"""A free architecture: a network of registered blocks that no space has to know, from JSON."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from types import ModuleType
from typing import Any, get_args, get_type_hints

import torch

from nasctl import registry
from nasctl.errors import NasctlError, UnknownName
from nasctl.networks import blocks, layers
from nasctl.networks.graph import Builder, Emission, Network, Span, emitted
from nasctl.networks.node import Layer
from nasctl.registry.old_names import LAYERS

EXAMPLE = '{"input": [3, 224, 224], "blocks": [{"block": "MBConv", "channels": 24, "kernel": 5, "expand": 6}, ...]}'
WIRING = ("block", "name", "inputs")  # of an entry; all else are the block's own fields
IMAGE = "input"  # what the network's input is called among the names of blocks


def network(content: object) -> Network:
    """The network that the blocks of a free architecture make.

    `{"input": [C, H, W], "blocks": [...]}`; each entry has the "block", by the name that the rows of latency tables
    have ("MBConv", "nb201.Reduction"; layers such as "Add" count as well), and the block's fields. It may have a
    "name", else it is called by its place, "0" for the first; and "inputs", a list of such names or "input", else it
    takes the entry before it. The network returns what the last entry does.

    Args:
        content: As `json.loads` has it.

    Raises:
        NasctlError: It is no such architecture; the sentence names the entry.
    """
    if (
        not isinstance(content, dict)
        or content.keys() != {"input", "blocks"}
        or not isinstance(content["blocks"], list)
    ):
        raise NasctlError(f"a free architecture is written {EXAMPLE}")
    shape = content["input"]
    if not isinstance(shape, list) or not shape or not all(type(size) is int and size > 0 for size in shape):
        raise NasctlError(f'"input" is {shape!r}, not a shape such as [3, 224, 224]')
    net = Builder(tuple(shape))
    places = {IMAGE: net.inputs[0]}
    last = IMAGE
    for k, entry in enumerate(content["blocks"]):
        try:
            last = _add(net, entry, str(k), last, places)
        except NasctlError as error:
            raise NasctlError(f"blocks[{k}]: {error}") from None
    made = net.build(places[last])
    if not made.spans:
        raise NasctlError('"blocks" has no block with a layer in it, so there is nothing to predict')
    return made


def _add(net: Builder, entry: object, place: str, last: str, places: dict[str, int]) -> str:
    """Append an entry, note its place and return its name."""
    if not isinstance(entry, dict) or not isinstance(entry.get("block"), str):
        raise NasctlError(f'{entry!r} has no "block", the name of one')
    name, inputs = entry.get("name", place), entry.get("inputs", [last])
    if not isinstance(name, str) or name in places:
        raise NasctlError(f"{name!r} is no name of its own; give each block another")
    if not isinstance(inputs, list) or not inputs or not all(isinstance(one, str) for one in inputs):
        raise NasctlError(f'"inputs" is {inputs!r}, not a list of names')
    for one in inputs:
        if one not in places:
            raise UnknownName("block before this one", str(one), list(places))
    what = _made(entry["block"], {field: value for field, value in entry.items() if field not in WIRING})
    at = [places[one] for one in inputs]
    shapes = tuple(net.shape(one) for one in at)
    try:
        _check(emitted(what, shapes))
        places[name] = net.add(what, *at, name=name)
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        taken = ", ".join("x".join(map(str, shape)) for shape in shapes)
        raise NasctlError(f"{entry['block']} makes nothing of {taken} ({type(error).__name__}: {reason})") from None
    return name


def _made(name: str, values: Mapping[str, Any]) -> Any:
    """The block of that name with these fields."""
    kind = _kind(name)
    hints = get_type_hints(kind)
    for field, value in values.items():
        if field not in hints:
            raise UnknownName(f"field of {name}", field, list(hints))
        kinds = get_args(hints[field]) or (hints[field],)
        if type(value) not in kinds and not (float in kinds and type(value) is int):
            wanted = " or ".join(getattr(one, "__name__", str(one)) for one in kinds)
            raise NasctlError(f"{name} has {field}={value!r}, which is no {wanted}")
    needed = [one.name for one in fields(kind) if one.default is MISSING and one.default_factory is MISSING]
    if lacking := [field for field in needed if field not in values]:
        raise NasctlError(f"{name} needs {', '.join(map(repr, lacking))}")
    return kind(**values)


def _kind(name: str) -> Any:
    """The class of a block; a plug-in's own is called after its space: "nb201.Reduction"."""
    home, _, word = LAYERS.get(name, name).rpartition(".")
    modules = [sys.modules[registry.load("spaces", home).__module__]] if home else [blocks, layers]
    known = {one: found for module in modules for one, found in _blocks(module).items()}
    if word not in known:
        raise UnknownName("block", name, [f"{home}.{one}" if home else one for one in known])
    return known[word]


def _blocks(module: ModuleType) -> dict[str, type]:
    """The blocks and layers that a module defines."""
    own = {name: one for name, one in vars(module).items() if getattr(one, "__module__", None) == module.__name__}
    return {
        name: one
        for name, one in own.items()
        if isinstance(one, type) and is_dataclass(one) and (hasattr(one, "emit") or issubclass(one, Layer))
    }


def _check(emission: Emission) -> None:
    """Run the block without memory for its values: shapes as data do not see all that torch refuses.

    Raises:
        ValueError: It has another shape than torch's own, or none.
        RuntimeError: torch refuses it.
    """
    if min(emission.out_shape) < 1:
        raise ValueError("nothing would be left")
    if not emission.nodes:
        return
    inputs = tuple(-1 - k for k in range(len(emission.in_shapes)))
    alone = Span("block", inputs, 0, emission).alone()
    with torch.device("meta"), torch.no_grad():
        found = alone.module().eval()(*[torch.empty(1, *shape) for shape in emission.in_shapes])
    if tuple(found.shape[1:]) != emission.out_shape:
        raise ValueError(f"torch makes {tuple(found.shape[1:])} of it")

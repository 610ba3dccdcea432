"""Free architectures: networks of registered blocks, read from JSON, that need not belong to a search space."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import ModuleType
from typing import Annotated, Any

import torch
from msgspec import UNSET, Meta, Struct, UnsetType

from nasctl import registry
from nasctl.errors import NasctlError, UnknownName
from nasctl.networks import blocks, layers, sequences, token_mixing
from nasctl.networks.graph import Block, Builder, Emission, Network, Span, emission_of
from nasctl.networks.node import Layer
from nasctl.registry.old_names import LAYERS
from nasctl.system.typed_json import convert

EXAMPLE = '{"input": [3, 224, 224], "blocks": [{"block": "MBConv", "channels": 24, "kernel": 5, "expand": 6}, ...]}'
INPUT = "input"  # the name of the network's input among the names of blocks

Size = Annotated[int, Meta(gt=0, description="a whole number above 0")]


class FreeArchitecture(Struct, forbid_unknown_fields=True):
    """The content of a file; `network` checks the blocks one after another."""

    input: Annotated[tuple[Size, ...], Meta(min_length=1, description="a shape such as [3, 224, 224]")]
    blocks: list[Any]


class Wiring(Struct):
    """The part of an entry of "blocks" that is the same for all blocks; the other fields belong to the block itself."""

    block: Annotated[str, Meta(description="the name of a block")]
    name: Annotated[str, Meta(description="a name")] | UnsetType = UNSET
    inputs: Annotated[tuple[str, ...], Meta(min_length=1, description="a list of names")] | UnsetType = UNSET


def network(content: object) -> Network:
    """Build the network that a free architecture describes.

    A free architecture is written `{"input": [C, H, W], "blocks": [...]}`. Each entry of "blocks" has a "block" and
    that block's fields. A block is named as in the rows of latency tables: "MBConv", "nb201.Reduction" or a single
    layer such as "Add". An entry may have a "name"; by default it is called by its place, "0" for the first. An entry
    may have "inputs", a list of names of earlier entries or "input"; by default it takes the output of the entry before
    it. The network returns the output of the last entry.

    Args:
        content: The parsed JSON.

    Raises:
        NasctlError: The content is no free architecture; the message names the entry and the value.
    """
    try:
        free = convert(content, FreeArchitecture)
    except NasctlError as error:
        raise NasctlError(f"a free architecture is written {EXAMPLE}, and here {error}") from None
    net = Builder(free.input)
    places = {INPUT: net.inputs[0]}
    last = INPUT
    for k, entry in enumerate(free.blocks):
        try:
            last = _add(net, entry, str(k), last, places)
        except NasctlError as error:
            raise NasctlError(f"blocks[{k}]: {error}") from None
    made = net.build(places[last])
    if not made.spans:
        raise NasctlError('"blocks" has no block with a layer in it, so there is nothing to predict')
    return made


def _add(net: Builder, entry: object, place: str, last: str, places: dict[str, int]) -> str:
    """Append an entry, note the position of its output in `places`, and return its name."""
    wiring = convert(entry, Wiring)
    assert isinstance(entry, dict)
    name = place if wiring.name is UNSET else wiring.name
    inputs = (last,) if wiring.inputs is UNSET else wiring.inputs
    if name in places:
        raise NasctlError(f"the name {name!r} is taken; give each block a name of its own")
    for one in inputs:
        if one not in places:
            raise UnknownName("block before this one", one, list(places))
    block = _block(
        wiring.block, {field: value for field, value in entry.items() if field not in Wiring.__struct_fields__}
    )
    at = [places[one] for one in inputs]
    shapes = tuple(net.shape(one) for one in at)
    try:
        _check(emission_of(block, shapes))
        places[name] = net.add(block, *at, name=name)
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        taken = ", ".join("x".join(map(str, shape)) for shape in shapes)
        raise NasctlError(
            f"{wiring.block} cannot take an input of {taken} ({type(error).__name__}: {reason})"
        ) from None
    return name


def _block(name: str, values: Mapping[str, Any]) -> Block | Layer:
    """Construct the block of that name with these fields."""
    kind = _block_class(name)
    known = [field.name for field in fields(kind)]
    for field in values:
        if field not in known:
            raise UnknownName(f"field of {name}", field, known)
    try:
        block: Block | Layer = convert(values, kind)
    except NasctlError as error:
        raise NasctlError(f"{name}: {error}") from None
    except TypeError:  # msgspec has no JSON form for the type of a field
        raise NasctlError(f"{name} cannot be read from JSON: it takes objects of Python; use another block") from None
    return block


def _block_class(name: str) -> Any:
    """Return the class of a block; the name of a plug-in's own block begins with its space: "nb201.Reduction"."""
    home, _, word = LAYERS.get(name, name).rpartition(".")
    engine = [blocks, layers, sequences, token_mixing]
    modules = [sys.modules[registry.load("spaces", home).__module__]] if home else engine
    known = {one: found for module in modules for one, found in _block_classes(module).items()}
    if word not in known:
        raise UnknownName("block", name, [f"{home}.{one}" if home else one for one in known])
    return known[word]


def _block_classes(module: ModuleType) -> dict[str, type]:
    """Return the blocks and layers that a module defines, by name."""
    own = {name: one for name, one in vars(module).items() if getattr(one, "__module__", None) == module.__name__}
    return {
        name: one
        for name, one in own.items()
        if isinstance(one, type) and is_dataclass(one) and (hasattr(one, "emit") or issubclass(one, Layer))
    }


def _check(emission: Emission) -> None:
    """Run a block on torch's meta device, which has no values: torch refuses some shapes that the block itself accepts.

    Raises:
        ValueError: The block's output is empty, or torch computes an output of another shape.
        RuntimeError: torch refuses the shape.
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

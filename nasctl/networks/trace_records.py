"""Values of a recorded forward pass and the calls that computed them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from nasctl.networks.leaf_modules import Rebuilt
from nasctl.networks.node import Shape


class Untraceable(Exception):
    """A module cannot be traced; the message says why and what to change."""


FOREIGN = "a value in it is made by something else than functions of torch; write it with them"


class Unrecordable(Untraceable):
    """A call cannot be recorded as a function of torch, though torch may know its operators."""


@dataclass(eq=False, slots=True)
class Record:
    """One value of a forward pass and the call that computed it. In arguments, records stand for tensors."""

    index: int
    kind: str  # "input", "tensor" (a parameter, a buffer or a constant), "call", "module" or "item" of a tuple
    name: str  # of the function as in `FunctionCalls`, of the tensor in its module, or the path of the layer
    args: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    function: Any = None  # the function, the layer of a "module", or the tensor of a "tensor"
    rebuilt: Rebuilt | None = None  # of a "module"
    path: str = ""  # path of the module whose forward makes the call
    shape: Shape | None = None  # with the batch; None for a tuple of values
    dtype: torch.dtype | None = None
    depends: bool = False  # whether the value depends on the module's input
    learned: bool = False  # whether the value depends on a parameter

    def sources(self) -> Iterator[Record]:
        """Yield the records that the call takes as arguments."""
        yield from records_in((self.args, self.options))


def records_in(value: Any) -> Iterator[Record]:
    """Yield the records in nested arguments."""
    if isinstance(value, Record):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from records_in(one)
    elif isinstance(value, Mapping):
        yield from records_in(tuple(value.values()))
    elif isinstance(value, slice):
        yield from records_in((value.start, value.stop, value.step))


def replaced(value: Any, kind: type, function: Callable[[Any], Any]) -> Any:
    """Return nested arguments in which `function` has replaced every value of a kind."""
    if isinstance(value, kind):
        return function(value)
    if isinstance(value, torch.Size):
        return tuple(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):  # a named tuple
        return type(value)(*(replaced(one, kind, function) for one in value))
    if isinstance(value, list | tuple):
        return type(value)([replaced(one, kind, function) for one in value])
    if isinstance(value, dict):
        return {key: replaced(one, kind, function) for key, one in value.items()}
    if isinstance(value, slice):
        return slice(*(replaced(one, kind, function) for one in (value.start, value.stop, value.step)))
    return value


def evaluated(record: Record, values: dict[int, Any]) -> Any:
    """Return the value of a record that does not depend on the input, computed on the CPU."""
    if record.index not in values:
        if record.kind == "tensor":
            values[record.index] = record.function.detach()
        else:
            args, options = replaced((record.args, dict(record.options)), Record, lambda one: evaluated(one, values))
            args, options = replaced((args, options), torch.device, lambda _: torch.device("cpu"))
            if record.kind == "item":
                values[record.index] = args[0][args[1]]
            else:
                values[record.index] = record.function(*args, **options)
    return values[record.index]


class InPlace:
    """A function in place that runs on a copy of its first argument."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, first: Tensor, *args: Any, **options: Any) -> Tensor:
        copy = first.clone()
        self.function(copy, *args, **options)
        return copy


def is_in_place(record: Record) -> bool:
    """Return whether the call of a record changes its first argument."""
    return isinstance(record.function, InPlace)

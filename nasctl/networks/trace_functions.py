"""The part of a trace between layers as one `Function` layer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from nasctl.networks.function_calls import Constant, constant_of
from nasctl.networks.function_names import last_part
from nasctl.networks.leaf_modules import CONTAINERS, torch_class
from nasctl.networks.node import Shape
from nasctl.networks.torch_layers import Function
from nasctl.networks.trace_layouts import ABSENT, BATCH, FRONT, OTHER_BATCH, Layout, Plan
from nasctl.networks.trace_records import Record, Untraceable, is_in_place

CONSTANT_BYTES = 16 << 20  # limit of all constants of a network together, compressed and in base64
# Methods that need the memory of their input in one order, with those that do not.
SAFE_NAMES = {".view": ".reshape", ".view_as": ".reshape_as"}
# The parameters that layers of torch.nn have; a subclass such as a convolution with a mask may have others.
LAYER_PARAMETERS = re.compile(
    r"weight|bias|(weight|bias)_(ih|hh|hr)_l\d+(_reverse)?|(in|q|k|v)_proj_(weight|bias)|bias_[kv]"
)
TAKEN = frozenset(dir(nn.Module)) | {"steps", "decoded", "resolved"}  # names that no weight of a function can have


class TensorUse(NamedTuple):
    """A tensor of the module in a layer of the network."""

    own: str  # its name in the layer: "weight"
    original: str  # its name in the module: "stem.conv.weight"


class FreeWeights(NamedTuple):
    """The reading of a module's parameters, by their names."""

    trained: frozenset[str]  # parameters of the network; others are constants
    kept: frozenset[str]  # trained parameters whose values are their initial values


def free_weights(module: nn.Module) -> FreeWeights:
    """Return which parameters are trained.

    A parameter of a layer of torch.nn is trained whether it is frozen or not; so is one that a subclass inherits. Any
    other frozen parameter, such as the mask of a convolution's subclass, keeps its value, unless all parameters of a
    module with such layers are frozen: then freezing says how the module was used, not which parameters are constants,
    and all are trained, from the values that they hold.
    """
    names = {id(one): name for name, one in module.named_parameters()}
    frozen = {name for name, one in module.named_parameters() if not one.requires_grad}
    of_layers: set[str] = set()
    for layer in module.modules():
        if torch_class(layer) not in (None, *CONTAINERS):
            own = layer.named_parameters(recurse=False)
            of_layers |= {names[id(one)] for name, one in own if LAYER_PARAMETERS.fullmatch(name)}
    every = frozenset(names.values())
    if of_layers and frozen == every:
        return FreeWeights(every, every - of_layers)
    return FreeWeights(every - (frozen - of_layers), frozenset())


class FunctionDraft(NamedTuple):
    """A layer for the calls between values of the network."""

    layer: Function
    inputs: tuple[Record, ...]
    uses: tuple[TensorUse, ...]
    parts: tuple[Record, ...]  # layers of torch.nn inside


def tensor_uses(layer: nn.Module, names: Mapping[int, str]) -> list[TensorUse]:
    """Return the parameters and buffers of a traced layer.

    Args:
        layer: The layer.
        names: Names of the module's tensors by their ids.
    """
    own = [*layer.named_parameters(remove_duplicate=False), *layer.named_buffers(remove_duplicate=False)]
    return [TensorUse(key, names[id(one)]) for key, one in own]


class FunctionWriter:
    """A writer of the `Function` layer that computes one value from values of the network.

    Args:
        plan: The values that become layers.
        twins: The values for another batch.
        names: Names of the module's tensors by the ids of those that were traced.
        weights: The reading of parameters that belong to no layer.
        offsets: For each part of a joined value the joined value, its first number and the count of its numbers.
        constants: The constants of the network so far, by the ids of their tensors.
    """

    def __init__(
        self,
        plan: Plan,
        twins: Sequence[Record],
        names: Mapping[int, str],
        weights: FreeWeights,
        offsets: dict[Record, tuple[Record, int, int]],
        constants: dict[int, Constant],
    ) -> None:
        self._plan, self._twins, self._names_of, self._reading = plan, twins, names, weights
        self._offsets, self._known_constants = offsets, constants
        self._steps: list[tuple[Any, ...]] = []
        self._encoded: dict[Record, str] = {}
        self._weights: list[tuple[str, Shape, float | Constant | None]] = []
        self._constants: list[tuple[str, Constant]] = []
        self._parts: list[tuple[str, str, tuple[tuple[str, Any], ...]]] = []
        self._uses: list[TensorUse] = []
        self._modules: dict[Record, str] = {}
        self._count = 0

    def write(self, target: Record, start: Record) -> FunctionDraft:
        """Return the layer that computes `target`, arranged with the batch in front.

        Args:
            target: The value.
            start: The network's input, from which a value that needs no other takes the batch.
        """
        between, inputs = self._between(target)
        inputs = inputs or [start]
        self._count = len(inputs)
        for k, one in enumerate(inputs):
            self._encoded[one] = f"${k}"
        for one in inputs:
            if one not in self._plan.packs:
                self._encoded[one] = self._unpacked(self._encoded[one], self._plan.layout(one), one)
        for one in between:
            self._encoded[one] = self._step_of(one)
        if target in self._plan.packs:
            self._join(self._plan.packs[target])
        else:
            self._packed(self._encoded[target], self._plan.layout(target), target)
        dtypes = [self._dtype(one) for one in inputs]
        layer = Function(
            tuple(self._steps),
            tuple(self._weights),
            tuple(dtypes) if set(dtypes) != {"float32"} else (),
            tuple(self._constants),
            tuple(self._parts),
        )
        return FunctionDraft(layer, tuple(inputs), tuple(self._uses), tuple(self._modules))

    def _dtype(self, record: Record) -> str:
        dtype = self._plan.packs[record][0].dtype if record in self._plan.packs else record.dtype
        return str(dtype).removeprefix("torch.")

    def _between(self, target: Record) -> tuple[list[Record], list[Record]]:
        """Return the values that compute the target, the target last, and the network's values that they start from."""
        between, inputs, left = {target}, dict[Record, None](), [target]
        while left:
            one = left.pop()
            sources = [self._offsets[one][0]] if one in self._offsets else one.sources()
            for source in sources:
                if source in self._plan.cuts or source in self._plan.packs:
                    inputs[source] = None
                elif source not in between:
                    between.add(source)
                    left.append(source)
        by_index = sorted(between, key=lambda one: one.index)
        return by_index, sorted(inputs, key=lambda one: one.index)

    def _emit(self, name: str, *args: Any, options: tuple[Any, ...] = ()) -> str:
        self._steps.append((name, args, options))
        return f"${self._count + len(self._steps) - 1}"

    # Arrangement of values with the batch in front

    def _unpacked(self, value: str, layout: Layout | None, record: Record) -> str:
        """Return the step whose value has the module's arrangement."""
        assert layout is not None
        assert record.shape is not None
        if layout == FRONT:
            return value
        if layout.dim is None:
            return self._emit(".select", value, 0, 0)
        value = self._emit(".flatten", value, 0, 1) if layout.times > 1 else value
        return self._emit(".movedim", value, 0, layout.dim) if layout.dim else value

    def _packed(self, value: str, layout: Layout | None, record: Record) -> str:
        """Add steps that arrange a value with the batch in front."""
        if layout is None:
            raise Untraceable("a value in it has no dimension that counts examples alone; keep the batch in one")
        if layout == ABSENT:
            assert record.shape is not None
            value = self._emit(".unsqueeze", value, 0)
            return self._emit(".expand", value, "$batch*1", *[-1] * len(record.shape))
        value = self._emit(".movedim", value, layout.dim, 0) if layout.dim else value
        return self._emit(".unflatten", value, 0, (-1, layout.times)) if layout.times > 1 else value

    def _join(self, parts: Sequence[Record]) -> None:
        """Add steps that join the needed parts of a tuple, each flattened for every example."""
        flat = []
        for part in parts:
            source = part
            path = []
            while source not in self._encoded:
                path.append(source.args[1])
                source = source.args[0]
            value = self._encoded[source]
            for place in reversed(path):
                value = self._emit(".__getitem__", value, place)
            value = self._packed(value, self._plan.layout(part), part)
            flat.append(self._emit(".reshape", value, "$batch*1", -1))
        self._emit("cat", ("$list", *flat), 1)

    # Calls

    def _step_of(self, record: Record) -> str:
        if record in self._offsets:
            pack, start, size = self._offsets[record]
            value = self._emit(".narrow", self._encoded[pack], 1, start, size)
            value = (
                self._emit(".unflatten", value, 1, self._plan.shape(record))
                if self._plan.shape(record)
                else (self._emit(".squeeze", value, 1))
            )
            return self._unpacked(value, self._plan.layout(record), record)
        if record.kind == "tensor":
            return self._tensor(record)
        args = self._arguments(record.args, self._twin(record).args)
        options = tuple(
            (key, self._arguments(value, self._twin(record).options[key])) for key, value in record.options.items()
        )
        if record.kind == "module":
            return self._emit(f"$.{self._part(record)}", *args, options=options)
        name = SAFE_NAMES.get(record.name, record.name)
        if name == ".reshape" and any(
            isinstance(one, str) and one[1:2].isalpha() and "batch" not in one for one in args
        ):
            name = record.name  # a view of another type
        if is_in_place(record):
            copy = self._emit(".clone", args[0])
            self._emit(name, copy, *args[1:], options=options)
            return self._emit("$", copy)
        return self._emit(name, *args, options=options)

    def _twin(self, record: Record) -> Record:
        return self._twins[record.index]

    def _tensor(self, record: Record) -> str:
        """Return the name of a parameter or constant in the layer."""
        value, last = record.function, last_part(record.name) or "constant"
        name = self._free(last)
        if value.is_meta:
            what = record.name or "a constant"
            raise Untraceable(f"{what} has no values on the meta device; construct the module on the CPU")
        if isinstance(value, nn.Parameter) and record.name in self._reading.trained:
            first = value.detach().flatten()[0].item() if value.numel() else 0.0
            fill: float | Constant | None = first if bool((value == first).all()) else None
            if record.name in self._reading.kept and fill is None:
                fill = self._constant(value)
            self._weights.append((name, tuple(value.shape), fill))
            self._uses.append(TensorUse(name, record.name))
        else:
            self._constants.append((name, self._constant(value)))
        return f"$.{name}"

    def _constant(self, value: Tensor) -> Constant:
        if id(value) not in self._known_constants:
            self._known_constants[id(value)] = constant_of(value)
            size = sum(len(one.data) for one in self._known_constants.values())
            if size > CONSTANT_BYTES:
                raise Untraceable(
                    f"its buffers and frozen parameters take more than {CONSTANT_BYTES >> 20} MiB when compressed; "
                    "make them trainable, or compute them in forward"
                )
        return self._known_constants[id(value)]

    def _part(self, record: Record) -> str:
        """Return the name of a layer of torch.nn in the layer."""
        assert record.rebuilt is not None
        known = [name for one, name in self._modules.items() if one.function is record.function]
        if known:
            return known[0]
        name = self._free(last_part(record.name) or record.rebuilt.kind.lower())
        self._parts.append((name, record.rebuilt.kind, record.rebuilt.options))
        self._modules[record] = name
        uses = tensor_uses(record.function, self._names_of)
        self._uses += [TensorUse(f"{name}.{use.own}", use.original) for use in uses]
        return name

    def _free(self, name: str) -> str:
        used = {one[0] for group in (self._weights, self._constants, self._parts) for one in group}
        tries = (name if k == 0 else f"{name}_{k}" for k in range(len(used) + 2))
        return next(one for one in tries if one not in used and one not in TAKEN)

    def _arguments(self, one: Any, other: Any) -> Any:
        """Return an argument, as two tracings recorded it, in the form of `FunctionCalls`."""
        if isinstance(one, Record):
            return self._encoded[one]
        if isinstance(one, tuple | list | range):
            if len(one) != len(other):
                raise Untraceable("a function in it is given a list whose length depends on the batch")
            parts = [self._arguments(a, b) for a, b in zip(one, other, strict=True)]
            return tuple(parts) if isinstance(one, tuple) else ("$list", *parts)
        if isinstance(one, slice):
            ends = ((one.start, other.start), (one.stop, other.stop), (one.step, other.step))
            return ("$slice", *(self._arguments(a, b) for a, b in ends))
        return encoded_number(one, other)


def encoded_number(one: Any, other: Any) -> Any:
    """Return an argument that is no tensor and no tuple in the form of `FunctionCalls`.

    Args:
        one: The argument for `BATCH` examples.
        other: The argument for `OTHER_BATCH` examples.

    Raises:
        Untraceable: The argument depends on the batch otherwise than as a multiple, or cannot be written as text.
    """
    if isinstance(one, torch.device):
        return "$device"
    if isinstance(one, np.generic):
        one, other = one.item(), other.item()
    if type(one) is int and one != other and one * OTHER_BATCH == other * BATCH and one % BATCH == 0:
        return f"$batch*{one // BATCH}"
    if one is not None and one is not ... and one != other and not (one != one and other != other):
        raise Untraceable(f"a function in it is given {one} for {BATCH} examples and {other} for {OTHER_BATCH}")
    if isinstance(one, torch.dtype | torch.memory_format | torch.layout):
        return f"${str(one).removeprefix('torch.')}"
    if one is ... or (isinstance(one, float) and not isfinite(one)):
        return "$..." if one is ... else f"${one}"
    if isinstance(one, str) and one.startswith("$"):
        raise Untraceable(f"a function in it is given the text {one!r}; rename it")
    if one is not None and not isinstance(one, bool | int | float | str | complex):
        raise Untraceable(f"a function in it is given {one}, which is neither a tensor nor a number")
    return one

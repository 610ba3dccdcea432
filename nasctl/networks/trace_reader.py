"""Layers of a network, read from the record of a module's forward pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from keyword import iskeyword
from math import prod
from typing import Any

from torch import nn

from nasctl.networks.function_calls import Constant
from nasctl.networks.function_names import last_part
from nasctl.networks.functional_layers import functional_layer
from nasctl.networks.layers import Add, Concat, Flatten, Multiply
from nasctl.networks.leaf_modules import Rebuilt, rebuilt
from nasctl.networks.module_trace import ModuleTrace
from nasctl.networks.node import Layer, Shape, Sharing, attribute_name
from nasctl.networks.torch_layers import Repeated, equal_layer
from nasctl.networks.trace_functions import FunctionWriter, TensorUse, free_weights, tensor_uses
from nasctl.networks.trace_layouts import FRONT, ModuleCall, Plan
from nasctl.networks.trace_records import Record, Untraceable, is_in_place

# Functions with an equal layer of torch.nn, whose constructor takes the arguments that follow the tensor.
LAYER_FUNCTIONS: Mapping[str, type[nn.Module]] = {
    **dict.fromkeys(("relu", ".relu"), nn.ReLU),
    **dict.fromkeys(("sigmoid", ".sigmoid", "nn.functional.sigmoid"), nn.Sigmoid),
    **dict.fromkeys(("tanh", ".tanh", "nn.functional.tanh"), nn.Tanh),
    **dict.fromkeys(("softmax", ".softmax", "nn.functional.softmax"), nn.Softmax),
    **dict.fromkeys(("flatten", ".flatten"), nn.Flatten),
    **dict.fromkeys(("nn.functional.relu", "nn.functional.relu_"), nn.ReLU),
    "nn.functional.relu6": nn.ReLU6,
    "nn.functional.hardswish": nn.Hardswish,
    "nn.functional.hardsigmoid": nn.Hardsigmoid,
    "nn.functional.silu": nn.SiLU,
    "nn.functional.gelu": nn.GELU,
    "nn.functional.avg_pool2d": nn.AvgPool2d,
    "nn.functional.max_pool2d": nn.MaxPool2d,
    "nn.functional.adaptive_avg_pool2d": nn.AdaptiveAvgPool2d,
}
SUMS = ("add", ".add", ".__add__", ".__radd__")
MULTIPLICATIONS = ("mul", ".mul", ".__mul__", ".__rmul__", "multiply", ".multiply")
RESHAPE_CALLS = ("reshape", ".reshape", ".view")
CONCATENATIONS = ("cat", "concat", "concatenate")


@dataclass(frozen=True)
class TracedLayer:
    """A layer of a traced module; its inputs are places of earlier layers in the list, and -1 is the module's input."""

    name: str
    layer: Layer
    inputs: tuple[int, ...]
    value: Record  # the value that the layer computes
    uses: tuple[TensorUse, ...] = ()  # tensors of the module that become the layer's own
    module_of: str = ""  # name of the layer whose module computes this one too
    shared: tuple[Sharing, ...] = ()  # parameters and buffers of other layers


class TraceReader:
    """A reader that turns two records of a forward pass, for two batches, into layers.

    Args:
        first: The values for `BATCH` examples.
        second: The values for `OTHER_BATCH` examples.
        result: The output in `first`.
        trace: The trace that made `first`.

    Raises:
        Untraceable: The two differ, or a value cannot be a layer.
    """

    def __init__(
        self,
        first: Sequence[Record],
        second: Sequence[Record],
        result: Record,
        trace: ModuleTrace,
    ) -> None:
        if [(one.kind, one.name) for one in first] != [(one.kind, one.name) for one in second]:
            raise Untraceable("its graph depends on the batch; make it the same for every batch")
        self._records, self._twins, self._result = first, second, result
        self._tensors, self._names_of, self._weights = trace.tensors, trace.names, free_weights(trace.module)
        self.plan = Plan(first, second, result)
        if self.plan.layout(result) != FRONT or not result.depends:
            raise Untraceable("its output has no batch in front, or does not depend on its input")
        self._steps: list[TracedLayer] = []
        self._places: dict[Record, int] = {}
        self._names: set[str] = set()
        self._tries: Counter[str] = Counter()
        self._owners: dict[str, tuple[str, str]] = {}  # layer and name there, by a tensor's name in the module
        self._modules: dict[tuple[int, Layer], str] = {}
        self._offsets: dict[Record, tuple[Record, int, int]] = {}
        self._constants: dict[int, Constant] = {}

    def steps(self) -> tuple[list[TracedLayer], int]:
        """Return the layers in an order in which they can run, and the place of the output's layer among them."""
        for record in self._records:
            if record in self.plan.cuts or record in self.plan.packs:
                self._places[record] = self._place(record)
        return self._steps, self._places[self._result]

    def _place(self, record: Record) -> int:
        """Return the place of the layer that computes a value, and append that layer."""
        if record.kind == "input":
            return -1
        call = self.plan.layers.get(record)
        if call is not None:
            return self._add_module(call)
        found = self._functional(record)
        found = self._primitive(record) if found is None else found
        if found is not None:
            return found
        start = self._records[0]
        writer = FunctionWriter(self.plan, self._twins, self._names_of, self._weights, self._offsets, self._constants)
        draft = writer.write(record, start)
        if record in self.plan.packs:
            self._note_offsets(record)
        inputs = [self._places.get(one, -1) for one in draft.inputs]
        if len(draft.parts) == 1:
            return self._add(draft.parts[0].name, "", draft.layer, inputs, record, draft.uses)
        called = record.name.split(".")[-2 if record.name.startswith("ops.") else -1].strip("_")
        return self._add(record.path, called, draft.layer, inputs, record, draft.uses)

    def _note_offsets(self, record: Record) -> None:
        start = 0
        for part in self.plan.packs[record]:
            size = prod(self.plan.shape(part))
            self._offsets[part] = (record, start, size)
            start += size

    def _add_module(self, call: ModuleCall) -> int:
        """Append a layer of torch.nn and return its place."""
        module, found = call.module.function, call.module.rebuilt
        assert found is not None
        if call.batch_first is not None:
            found = Rebuilt(found.kind, tuple({**dict(found.options), "batch_first": True}.items()))
        shapes, dtypes = self._shapes_and_dtypes(call.inputs)
        out = self.plan.shape(call.result)
        if call.times:
            shapes, out = tuple(shape[1:] for shape in shapes), out[1:]
        layer = equal_layer(module, found, shapes, out if call.batch_first is None else (), dtypes)
        layer = Repeated(layer, call.times) if call.times else layer
        name = call.module.name
        inputs = [self._places[one] for one in call.inputs]
        uses = tensor_uses(module, self._names_of)
        return self._add(name or type(module).__name__.lower(), "", layer, inputs, call.result, uses, id(module))

    def _functional(self, record: Record) -> int | None:
        """Append the layer that equals a function with parameters, such as F.conv2d; None if no layer does."""
        if record.kind != "call" or self.plan.layout(record) != FRONT:
            return None
        found = functional_layer(record, self._twins[record.index])
        if found is None or found.input not in self._places or not self._is_front(found.input):
            return None
        learned = [one for one in found.tensors.values() if isinstance(one.function, nn.Parameter)]
        if not all(one.name in self._weights.trained - self._weights.kept for one in learned):
            return None
        again = rebuilt(found.module, type(found.module))
        if again is None:
            return None
        shapes, dtypes = self._shapes_and_dtypes([found.input])
        layer = equal_layer(found.module, again, shapes, self.plan.shape(record), dtypes)
        uses = [TensorUse(key, one.name) for key, one in found.tensors.items()]
        name = record.path or last_part(record.name)
        return self._add(name, "", layer, [self._places[found.input]], record, uses)

    def _primitive(self, record: Record) -> int | None:
        """Append the layer that equals a function; None if no layer does."""
        joined = record.name in CONCATENATIONS and bool(record.args)
        given: Any = record.args[0] if joined else record.args
        if record.kind != "call" or is_in_place(record) or not isinstance(given, tuple | list):
            return None
        inputs = [one for one in given if isinstance(one, Record)]
        plain = len(inputs) == len(list(record.sources())) and (not joined or len(inputs) == len(given))
        if not inputs or not plain or any(one not in self._places or not self._is_front(one) for one in inputs):
            return None
        if not self._is_front(record):
            return None
        (shapes, dtypes), out = self._shapes_and_dtypes(inputs), self.plan.shape(record)
        found: Layer | None = None
        options = {key: value for key, value in record.options.items() if value is not None}
        rest = record.args[1:]
        if record.name in LAYER_FUNCTIONS and len(inputs) == 1 and self._same_for_twin(record):
            found = _as_layer(LAYER_FUNCTIONS[record.name], rest, options, shapes, out, dtypes)
        elif record.name in SUMS and len(inputs) == len(record.args) == 2 and shapes == (out, out) and not options:
            found = Add()
        elif record.name in MULTIPLICATIONS and len(inputs) == len(record.args) == 2 and not options:
            if len(shapes[0]) == len(shapes[1]) and out in shapes:
                found = Multiply()
                inputs.sort(key=lambda one: self.plan.shape(one) != out)  # the gate is the second
        elif joined and (*rest, *options.values()) in ((1,), (-len(out),)) and not dtypes:
            found = Concat()
        elif record.name in RESHAPE_CALLS and out == (prod(shapes[0]),) and not dtypes:
            found = Flatten()
        if found is None:
            return None
        name = last_part(record.name).strip("_")
        return self._add(record.path, name, found, [self._places[one] for one in inputs], record)

    def _is_front(self, record: Record) -> bool:
        return self.plan.layout(record) == FRONT

    def _same_for_twin(self, record: Record) -> bool:
        twin = self._twins[record.index]
        numbers = [one for one in record.args if not isinstance(one, Record)]
        return numbers == [one for one in twin.args if not isinstance(one, Record)] and record.options == twin.options

    def _shapes_and_dtypes(self, records: Sequence[Record]) -> tuple[tuple[Shape, ...], tuple[str, ...]]:
        """Return the shapes of values for one example, and their types; no types if all are float32."""
        dtypes = [str(one.dtype).removeprefix("torch.") for one in records]
        return tuple(map(self.plan.shape, records)), tuple(dtypes) if set(dtypes) != {"float32"} else ()

    def _add(
        self,
        path: str,
        called: str,
        layer: Layer,
        inputs: Sequence[int],
        value: Record,
        uses: Sequence[TensorUse] = (),
        module: int = 0,
    ) -> int:
        """Append a layer under a unique name, and return its place."""
        name = self._free_name(".".join(part for part in (path, called) if part))
        same = self._modules.get((module, layer), "") if module and uses else ""
        if module:
            self._modules.setdefault((module, layer), name)
        shared = []
        for use in [] if same else uses:
            first = self._owners.setdefault(use.original, (name, use.own))
            if first != (name, use.own):
                tensor = self._tensors[use.original]
                number = tensor.numel() if isinstance(tensor, nn.Parameter) else 0
                shared.append(Sharing(use.own, *first, number))
        self._steps.append(TracedLayer(name, layer, tuple(inputs), value, tuple(uses), same, tuple(shared)))
        return len(self._steps) - 1

    def _free_name(self, path: str) -> str:
        """Return a name whose attribute is an identifier of Python that no other layer has."""
        name = ".".join("".join(one if f"_{one}".isidentifier() else "_" for one in part) for part in path.split("."))
        name = name if f"{name[0]}".isidentifier() else f"layer{name}"
        while not self._is_free(name if not self._tries[name] else f"{name}_{self._tries[name]}"):
            self._tries[name] += 1
        found = name if not self._tries[name] else f"{name}_{self._tries[name]}"
        self._names.add(attribute_name(found))
        self._tries[name] += 1
        return found

    def _is_free(self, name: str) -> bool:
        attribute = attribute_name(name)
        return not (attribute in self._names or iskeyword(attribute) or hasattr(nn.Module, attribute))


def _as_layer(
    kind: type[nn.Module], args: Any, options: Any, shapes: tuple[Shape, ...], out: Shape, dtypes: tuple[str, ...]
) -> Layer | None:
    """Return the layer that equals a call of a function, or None if the layer does not take the same arguments."""
    try:
        module = kind(*args, **options)
    except TypeError:
        return None
    found = rebuilt(module, kind)
    return None if found is None else equal_layer(module, found, shapes, out, dtypes)

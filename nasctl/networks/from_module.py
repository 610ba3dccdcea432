"""The layers of a torch module and their wiring, found with torch.fx, for `Network.from_module`."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from itertools import count
from keyword import iskeyword
from math import isfinite, prod
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from nasctl.errors import NasctlError
from nasctl.networks.fx_tracer import REMEDY, Tracer, Untraceable, depends, on_device, original_path
from nasctl.networks.layers import Add, Concat, Flatten, Multiply
from nasctl.networks.node import Layer, Shape, attribute_name
from nasctl.networks.torch_layers import BATCH, Function, equal_layer

OTHER_BATCH = BATCH + 1  # examples of a second tracing: a number that differs between the two depends on the batch

# Functions with an equal layer of torch.nn, whose constructor takes the arguments that follow the tensor.
LAYER_FUNCTIONS: Mapping[object, type[nn.Module]] = {
    **dict.fromkeys((F.relu, torch.relu, torch.relu_, "relu", "relu_"), nn.ReLU),
    **dict.fromkeys((F.sigmoid, torch.sigmoid, "sigmoid"), nn.Sigmoid),
    **dict.fromkeys((F.tanh, torch.tanh, "tanh"), nn.Tanh),
    **dict.fromkeys((F.softmax, torch.softmax, "softmax"), nn.Softmax),
    **dict.fromkeys((torch.flatten, "flatten"), nn.Flatten),
    F.relu6: nn.ReLU6,
    F.hardswish: nn.Hardswish,
    F.hardsigmoid: nn.Hardsigmoid,
    F.silu: nn.SiLU,
    F.gelu: nn.GELU,
    F.avg_pool2d: nn.AvgPool2d,
    F.max_pool2d: nn.MaxPool2d,
    F.adaptive_avg_pool2d: nn.AdaptiveAvgPool2d,
}
SUMS = (operator.add, operator.iadd, torch.add, "add", "add_")
PRODUCTS = (operator.mul, operator.imul, torch.mul, "mul", "mul_")
# Methods of a tensor for operators whose right operand it is.
REVERSED = {name: f".__r{name}__" for name in ("add", "sub", "mul", "truediv", "floordiv", "pow", "matmul", "mod")}
RESHAPES = (torch.reshape, "reshape", "view")
CONCATENATIONS = (torch.cat, torch.concat)
DROPOUT_LAYERS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
DROPOUT_FUNCTIONS = (F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, torch.dropout)
IN_PLACE = (operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ifloordiv, operator.ipow)
IGNORED_ARGUMENTS = ("need_weights", "average_attn_weights")  # arguments of attention that change only unused outputs


class TracedLayer(NamedTuple):
    """A layer of a traced module; its inputs are places of earlier layers in the list, and -1 is the module's input."""

    name: str
    layer: Layer
    inputs: tuple[int, ...]


def trace(module: nn.Module, shape: Shape) -> tuple[list[TracedLayer], int]:
    """Return the layers of a module in an order in which they can run, and the place of the output's layer among them.

    The module is traced in evaluation mode, so without dropout.

    Args:
        module: A module that takes one tensor and returns one tensor, both with the batch as first dimension.
        shape: Shape of one example.

    Raises:
        NasctlError: The module is no fixed graph of layers.
    """
    try:
        first, second = (Tracer(module, batch).traced_graph(shape) for batch in (BATCH, OTHER_BATCH))
        return _Reader(module, first, second).steps()
    except Exception as error:  # the module may raise anything when it runs without values
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        if isinstance(error, fx.proxy.TraceError):
            reason = "its forward branches on the values of a tensor; branch on shapes, or in the constructor"
        raise NasctlError(f"{type(module).__name__} cannot be made a network: {reason.rstrip('.')}") from error


class _Reader:
    """A reader that turns two tracings with different batches into layers."""

    def __init__(self, module: nn.Module, first: fx.Graph, second: fx.Graph) -> None:
        if [(one.op, one.target) for one in first.nodes] != [(one.op, one.target) for one in second.nodes]:
            raise Untraceable("its graph depends on the batch; make it the same for every batch")
        self._module = module
        self._nodes = {node: k for k, node in enumerate(first.nodes)}
        self._twins = dict(zip(first.nodes, second.nodes, strict=True))
        self._steps: list[TracedLayer] = []
        self._places: dict[fx.Node, int] = {}  # of tensors with the batch as first dimension
        self._names: set[str] = set()
        self._weights: set[int] = set()

    def steps(self) -> tuple[list[TracedLayer], int]:
        """Return the layers, and the place of the output's layer among them."""
        *nodes, output = self._nodes
        (result,) = output.args
        if not isinstance(result, fx.Node) or not isinstance(result.meta["value"], Tensor):
            raise Untraceable("it does not return one tensor; wrap it in a module that does")
        if not self._has_batch(result):
            raise Untraceable("its output has no batch in front, or does not depend on its input")
        needed = {result}
        for node in reversed(nodes):
            needed |= set(node.all_input_nodes) if node in needed else set()
        for node in nodes:
            self._check_in_place(node)
            if node in needed and self._has_batch(node):
                self._places[node] = self._place(node)
        return self._steps, self._places[result]

    def _has_batch(self, node: fx.Node) -> bool:
        """Return whether a value is a tensor with the batch as first dimension, so that layers can exchange it."""
        one, other = node.meta["value"], self._twins[node].meta["value"]
        if not depends(node) or not isinstance(one, Tensor):
            return False
        return one.shape[:1] == (BATCH,) and other.shape[:1] == (OTHER_BATCH,) and one.shape[1:] == other.shape[1:]

    def _check_in_place(self, node: fx.Node) -> None:
        """Raise if a value is changed in place and read later: a network has no operations in place."""
        name = str(getattr(node.target, "__name__", node.target))
        if node.op == "call_module":
            changes = getattr(self._module.get_submodule(original_path(name)), "inplace", False)
        else:
            named = name.endswith("_") and not name.endswith("__")
            changes = named or node.kwargs.get("inplace") or node.target in IN_PLACE
        if not changes:
            return
        here, memory = self._nodes[node], _memory(node.all_input_nodes[0])
        same = [one for one, k in self._nodes.items() if k < here and _memory(one) is memory]
        if any(self._nodes[user] > here for one in same for user in one.users):
            raise Untraceable(f"{name} changes a value in place that is used after it; return a new tensor instead")

    def _place(self, node: fx.Node) -> int:
        """Return the place of the layer that computes a value, and append that layer if it is new."""
        if node.op == "placeholder":
            return -1
        source = node.args[0] if node.target is operator.getitem and node.args[0] not in self._places else node
        if isinstance(source, fx.Node) and source.op == "call_module":
            return self._add_module(source, node)
        if node.target in DROPOUT_FUNCTIONS:
            return self._places[node.all_input_nodes[0]]
        inputs, found = self._primitive(node) or self._function(node)
        return self._add(_path(node), _function_name(node), found, inputs)

    def _add_module(self, node: fx.Node, result: fx.Node) -> int:
        """Append a layer of torch.nn and return its place."""
        name = original_path(str(node.target))
        part = self._module.get_submodule(name)
        if isinstance(part, (nn.Identity, *DROPOUT_LAYERS)):
            return self._places[node.all_input_nodes[0]]
        inputs: list[Any] = [
            *node.args,
            *(node.kwargs[key] for key in ("input", "query", "key", "value") if key in node.kwargs),
        ]
        extra = {
            key: value for key, value in node.kwargs.items() if value not in inputs and key not in IGNORED_ARGUMENTS
        }
        if not all(isinstance(one, fx.Node) for one in inputs) or any(extra.values()):
            raise Untraceable(f"{name} is called with more than positional tensors; write it with torch's functions")
        if any(one not in self._places for one in inputs) or (result is not node and result.args[1] != 0):
            self._refuse(node)
        for weight in part.parameters():
            self._note_weight(weight, name)
        shapes, dtypes = _shapes_and_dtypes(inputs)
        found = equal_layer(part, shapes, tuple(result.meta["value"].shape[1:]), dtypes)
        if found is None or (type(found.module(*shapes).factory) is not str) != (result is not node):
            raise Untraceable(
                f"{name} is a {type(part).__name__}, which nasctl cannot rebuild; write it with torch's functions"
            )
        return self._add(name or type(part).__name__.lower(), "", found, [self._places[one] for one in inputs])

    def _refuse(self, node: fx.Node) -> None:
        """Raise an error that says why a layer of torch.nn cannot be part of a network."""
        name = original_path(str(node.target))
        if any(one not in self._places for one in node.all_input_nodes):
            remedy = "use it with batch_first=True, and keep the batch as the first dimension"
            raise Untraceable(f"{name} is called on values without the batch as first dimension; {remedy}")
        raise Untraceable(f"it uses more than the first output of {name}; of a recurrent layer take out[:, -1]")

    def _primitive(self, node: fx.Node) -> tuple[list[int], Layer] | None:
        """Return the inputs and the layer of a function that equals one layer, or None if it equals none."""
        joined = node.target in CONCATENATIONS and node.args
        given: Any = node.args
        inputs = list(given[0] if joined else (one for one in given if isinstance(one, fx.Node)))
        if len(inputs) != len(node.all_input_nodes) and node.target not in SUMS:
            return None
        if not inputs or any(one not in self._places for one in inputs):
            return None
        (shapes, dtypes), out = _shapes_and_dtypes(inputs), tuple(node.meta["value"].shape[1:])
        found: Layer | None = None
        options = {key: value for key, value in node.kwargs.items() if key != "_stacklevel" and value is not None}
        if node.target in LAYER_FUNCTIONS and len(inputs) == 1:
            found = _as_layer(LAYER_FUNCTIONS[node.target], node.args[1:], options, shapes, out, dtypes)
        elif node.target in SUMS and len(inputs) == len(node.args) == 2 and shapes == (out, out) and not options:
            found = Add()
        elif node.target in PRODUCTS and len(inputs) == 2 and len(shapes[0]) == len(shapes[1]) and out in shapes:
            found = Multiply()
            inputs.sort(key=lambda one: one.meta["value"].shape[1:] != out)  # the gate is the second
        elif joined and (*node.args[1:], *options.values()) in ((1,), (-len(out),)):
            found = Concat()
        elif node.target in RESHAPES and out == (prod(shapes[0]),):
            found = Flatten()
        return None if found is None else ([self._places[one] for one in inputs], found)

    def _function(self, node: fx.Node) -> tuple[list[int], Layer]:
        """Return the inputs of a value and one `Function` layer that computes it from them."""
        between, inputs = self._between(node)
        encoded = {one: f"${k}" for k, one in enumerate(inputs)}
        weights, steps = [], []
        for one in between:
            if one.op == "get_attr":
                weights.append(self._weight(one))
                encoded[one] = f"$.{weights[-1][0]}"
            elif on_device(one):
                encoded[one] = "$device"
            else:
                name, args = _function_of(one), _encoded(one.args, self._twins[one].args, encoded)
                by_name = _encoded(tuple(one.kwargs.items()), tuple(self._twins[one].kwargs.items()), encoded)
                steps.append((name, args[::-1] if name in REVERSED.values() else args, by_name))
                encoded[one] = f"${len(inputs) + len(steps) - 1}"
        _, dtypes = _shapes_and_dtypes(inputs)
        return [self._places[one] for one in inputs], Function(tuple(steps), tuple(weights), dtypes)

    def _between(self, node: fx.Node) -> tuple[list[fx.Node], list[fx.Node]]:
        """Return the nodes that compute a value, its own last, and the tensors of the network that they start from."""
        between, inputs, left = {node}, dict[fx.Node, None](), [node]
        while left:
            for one in left.pop().all_input_nodes:
                if one in self._places:
                    inputs[one] = None
                elif on_device(one):
                    between.add(one)
                elif one.op == "call_module":
                    self._refuse(one)
                elif one not in between:
                    between.add(one)
                    left.append(one)
        return sorted(between, key=self._nodes.__getitem__), sorted(inputs, key=self._nodes.__getitem__)

    def _weight(self, node: fx.Node) -> tuple[str, Shape, float | None]:
        """Return name, shape and constant value of a parameter of no layer; None stands for values that differ."""
        name = original_path(str(node.target))
        value = operator.attrgetter(name)(self._module)
        if not isinstance(value, nn.Parameter):
            raise Untraceable(f"it uses {name}, a constant tensor; {REMEDY}")
        if value.is_meta:
            raise Untraceable(f"{name} has no values on the meta device; construct the module on the CPU")
        self._note_weight(value, name)
        first = value.detach().flatten()[0].item()
        return name.rpartition(".")[2], tuple(value.shape), first if bool((value == first).all()) else None

    def _note_weight(self, weight: nn.Parameter, name: str) -> None:
        if id(weight) in self._weights:
            raise Untraceable(f"weights of {name} are used twice; give each place weights of its own")
        self._weights.add(id(weight))

    def _add(self, path: str, called: str, found: Layer, inputs: Sequence[int]) -> int:
        """Append a layer under a unique name that is a valid attribute of a module."""
        name = ".".join(part for part in (path, called) if part)
        name = f"layer{name}" if name[0].isdigit() else name
        tries = (name if k == 0 else f"{name}_{k}" for k in count())
        name = next(one for one in tries if self._is_free(attribute_name(one)))
        self._names.add(attribute_name(name))
        self._steps.append(TracedLayer(name, found, tuple(inputs)))
        return len(self._steps) - 1

    def _is_free(self, attribute: str) -> bool:
        return not (attribute in self._names or iskeyword(attribute) or hasattr(nn.Module, attribute))


def _memory(node: fx.Node) -> Any:
    """Return the tensor of which a value is a view, or the value itself; values with equal memory change together."""
    value = node.meta.get("value")
    return value._base if isinstance(value, Tensor) and value._base is not None else value


def _encoded(one: Any, other: Any, encoded: Mapping[fx.Node, str]) -> Any:
    """Return an argument of a function, as two tracings recorded it, in the form of `FunctionCalls`."""
    if isinstance(one, fx.Node):
        return encoded[one]
    if isinstance(one, tuple | list):
        parts = [_encoded(a, b, encoded) for a, b in zip(one, other, strict=True)]
        return ("$list", *parts) if isinstance(one, list) else tuple(parts)
    if isinstance(one, slice):
        ends = ((one.start, other.start), (one.stop, other.stop), (one.step, other.step))
        return ("$slice", *(_encoded(a, b, encoded) for a, b in ends))
    if type(one) is int and one != other and one * OTHER_BATCH == other * BATCH and one % BATCH == 0:
        return f"$batch*{one // BATCH}"
    if one is not None and one is not ... and one != other:
        raise Untraceable(f"a function in it is given {one} for {BATCH} examples and {other} for {OTHER_BATCH}")
    if isinstance(one, torch.dtype):
        return f"${str(one).removeprefix('torch.')}"
    if one is ... or (isinstance(one, float) and not isfinite(one)):
        return "$..." if one is ... else f"${one}"
    if one is not None and not isinstance(one, bool | int | float | str):
        raise Untraceable(f"a function in it is given {one}, which is neither a tensor nor a number")
    return one


def _function_of(node: fx.Node) -> str:
    """Return the name of a function for `FunctionCalls`: a method of the first argument, or a function of torch."""
    if node.op == "call_method":
        return f".{node.target}"
    if node.target is getattr:
        return f".{node.args[1]}"
    name = str(getattr(node.target, "__name__", node.name)).strip("_")
    if getattr(node.target, "__module__", "") == "_operator":
        return f".__{name}__" if isinstance(node.args[0], fx.Node) else REVERSED[name]
    for home, prefix in ((torch, ""), (F, "nn.functional.")):
        if getattr(home, name, None) is node.target:
            return f"{prefix}{name}"
    raise Untraceable(f"it calls {name}, which is no function of torch; write it with functions of torch")


def _as_layer(
    kind: type[nn.Module], args: Any, options: Any, shapes: tuple[Shape, ...], out: Shape, dtypes: tuple[str, ...]
) -> Layer | None:
    """Return the layer that equals a call of a function, or None if the layer does not take the same arguments."""
    try:
        return equal_layer(kind(*args, **options), shapes, out, dtypes)
    except TypeError:
        return None


def _shapes_and_dtypes(nodes: Sequence[fx.Node]) -> tuple[tuple[Shape, ...], tuple[str, ...]]:
    """Return the shapes of values, without the batch, and their types; no types if all are float32."""
    values = [node.meta["value"] for node in nodes]
    dtypes = [str(value.dtype).removeprefix("torch.") for value in values]
    return tuple(tuple(value.shape[1:]) for value in values), tuple(dtypes) if set(dtypes) != {"float32"} else ()


def _path(node: fx.Node) -> str:
    """Return the path of the module whose forward method calls a function."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    return original_path(stack[-1][0]) if stack else ""


def _function_name(node: fx.Node) -> str:
    """Return a short name of a function."""
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", node.name)
    return str(name).strip("_").replace(".", "_")

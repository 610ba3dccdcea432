"""Kinds of torch's functions, and the functions that a custom module calls in its forward method.

`plain_name` names them: `F.relu`, `x.relu()` and `torch.ops.aten.relu` are one function, "relu".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from nasctl.networks.executable import construct, module_class
from nasctl.networks.graph import Network
from nasctl.networks.layer_kinds import is_custom, layer_title, weight_names
from nasctl.networks.node import Layer, Node, Shape, attribute_name
from nasctl.networks.product_watch import ProductWatch

CONVOLUTIONS = frozenset(
    {f"conv{way}{size}d" for way in ("", "_transpose") for size in (1, 2, 3)} | {"convolution", "conv_tbc"}
)
MATRIX_PRODUCTS = frozenset(
    [
        "linear",
        "matmul",
        "rmatmul",
        "linalg_matmul",
        "linalg_vecdot",
        "mm",
        "bmm",
        "mv",
        "dot",
        "vdot",
        "inner",
        "tensordot",
        "einsum",
        "addmm",
        "addmv",
        "baddbmm",
        "addbmm",
        "outer",
        "ger",
        "multi_dot",
        "chain_matmul",
        "linalg_multi_dot",
        "bilinear",
        "trilinear",
    ]
)
FUSED_PRODUCTS = frozenset(
    [
        "lstm",
        "gru",
        "rnn_tanh",
        "rnn_relu",
        "lstm_cell",
        "gru_cell",
        "rnn_tanh_cell",
        "rnn_relu_cell",
        "multi_head_attention_forward",
        "scaled_dot_product_attention",
    ]
)
BIAS_THIRD = CONVOLUTIONS | {"linear"}  # products whose third argument is the bias
BIAS_FIRST = frozenset({"addmm", "addmv", "baddbmm", "addbmm"})
PRODUCTS = CONVOLUTIONS | MATRIX_PRODUCTS | FUSED_PRODUCTS
BATCH_NORM_FUNCTIONS = frozenset({"batch_norm", "native_batch_norm", "cudnn_batch_norm", "sync_batch_norm"})
NORMS = BATCH_NORM_FUNCTIONS | frozenset(
    [
        "layer_norm",
        "native_layer_norm",
        "group_norm",
        "native_group_norm",
        "instance_norm",
        "rms_norm",
        "local_response_norm",
    ]
)
RECTIFIERS = frozenset(
    [
        "relu",
        "relu6",
        "leaky_relu",
        "prelu",
        "rrelu",
        "elu",
        "celu",
        "selu",
        "gelu",
        "silu",
        "mish",
        "hardswish",
        "hardtanh",
        "softplus",
        "threshold",
    ]
)
SIGMOIDS = frozenset(
    [
        "sigmoid",
        "hardsigmoid",
        "logsigmoid",
        "log_sigmoid",
        "tanh",
        "softsign",
        "tanhshrink",
        "softshrink",
        "hardshrink",
    ]
)
CLAMPS = frozenset({"clamp", "clamp_min", "clip"})  # rectifiers if they end at 0
ATTENTION = frozenset({"scaled_dot_product_attention", "multi_head_attention_forward"})
LOOKUPS = frozenset({"embedding", "embedding_bag", "index_select", "gather", "take_along_dim", "index", "take"})

LARGE = 1 << 20  # numbers of a layer and its inputs, above which it runs on the meta device first


class RectifierCall(NamedTuple):
    """The input of a rectifier's function, and the input above which its units are on."""

    x: Tensor
    switch: float


def plain_name(function: Callable[..., Any]) -> str:
    """Return the name of a function of torch without underscores and overload: "matmul" for `Tensor.__matmul__`."""
    return getattr(function, "__name__", "").partition(".")[0].strip("_")


def rectifier_call(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> RectifierCall | None:
    """Return the input and the switch point of a call, or None if the function is no rectifier."""
    x = args[0] if args else kwargs.get("input")
    if not isinstance(x, Tensor) or not x.is_floating_point():
        return None
    options = dict(zip(_OPTIONS.get(name, ()), args[1:], strict=False)) | dict(kwargs)
    if name in CLAMPS:
        low = options.get("min")  # a number, or a tensor of bounds, which is no rectifier
        return RectifierCall(x, 0.0) if isinstance(low, int | float) and low == 0 else None
    if name not in RECTIFIERS:
        return None
    start = {"threshold": ("threshold", 0.0), "hardtanh": ("min_val", -1.0)}.get(name)
    return RectifierCall(x, float(options.get(*start)) if start else 0.0)


_OPTIONS = dict.fromkeys(CLAMPS, ("min", "max")) | {"threshold": ("threshold",), "hardtanh": ("min_val",)}


class RectifierWatch(TorchFunctionMode):
    """A mode that hands every rectifier call to a function, before the rectifier runs.

    Args:
        note: Takes the call.
    """

    def __init__(self, note: Callable[[RectifierCall], None]) -> None:
        super().__init__()
        self._note = note

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        call = rectifier_call(plain_name(func), args, kwargs or {})
        if call is not None:
            self._note(call)
        return func(*args, **(kwargs or {}))


@dataclass(frozen=True, slots=True)
class CustomFacts:
    """The functions that a custom module calls, as far as metrics need them."""

    weights: frozenset[str] = frozenset()  # names of the parameters that are multiplied with activations
    functions: frozenset[str] = frozenset()  # names of the functions
    rectifies: bool = False
    batch_statistics: bool = False  # whether the module normalises by the statistics of the batch
    failure: str = ""  # why the module could not be run alone; all else is empty then


@dataclass
class _Origins:
    """Where tensors come from: the parameters, or the input of the module."""

    parameters: dict[int, frozenset[str]] = field(default_factory=dict)  # names, by the id of a tensor
    inputs: set[int] = field(default_factory=set)
    kept: list[Tensor] = field(default_factory=list)  # so that no id is used again


class _FactsMode(TorchFunctionMode):
    """A mode that notes the functions that are called, and the parameters that products multiply with activations."""

    def __init__(self, module: nn.Module, inputs: Iterable[Tensor]) -> None:
        super().__init__()
        self._origins = _Origins({id(one): frozenset({name}) for name, one in module.named_parameters()})
        self._origins.inputs |= {id(one) for one in inputs}
        self.weights, self.functions = set[str](), set[str]()
        self.rectifies = self.batch_statistics = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name, origins = kwargs or {}, plain_name(func), self._origins
        given = list(_tensors((args, kwargs)))
        active = any(id(one) in origins.inputs for one in given)
        learned = frozenset[str]().union(*(origins.parameters.get(id(one), ()) for one in given))
        with ProductWatch() as watch:
            result = func(*args, **kwargs)
        self.functions.add(name)
        self.rectifies |= active and rectifier_call(name, args, kwargs) is not None
        self.batch_statistics |= active and name in BATCH_NORM_FUNCTIONS and _uses_batch(args, kwargs)
        if active and (watch.found or name in PRODUCTS):
            factors = {id(one) for one in _tensors(_factors(name, args, kwargs))}
            weights = frozenset[str]().union(*(origins.parameters.get(one, ()) for one in factors))
            self.weights |= weights if weights or name in PRODUCTS else learned
        indexed = name == "getitem" and any(isinstance(one, Tensor) for one in _tensors(args[1:]))
        for one in _tensors(result):
            origins.kept.append(one)
            if active:
                origins.inputs.add(id(one))
            elif learned and name not in LOOKUPS and not indexed:  # a table that is looked up is an embedding
                origins.parameters[id(one)] = learned
        return result


def _factors(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Any]:
    """Return the arguments of a product without its biases."""
    named = [one for key, one in kwargs.items() if "bias" not in key]
    if name in BIAS_THIRD:
        return [*args[:2], *named]
    if name in BIAS_FIRST:
        return [*args[1:], *named]
    if name == "bilinear":
        return [*args[:3], *named]
    # The biases of fused products, and of products without a known name, are vectors among matrices.
    return [one for one in _tensors([*args, *named]) if name in MATRIX_PRODUCTS or one.ndim > 1]


def _uses_batch(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Return whether a call of a batch norm takes its statistics from the batch."""
    flags = [one for one in (*args, *kwargs.values()) if isinstance(one, bool)]
    statistics = [one for one in args[1:3] if isinstance(one, Tensor)]
    return any(flags[:1]) or not (statistics or {"running_mean"} & kwargs.keys())


def _tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors of nested tuples, lists and mappings."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for one in value:
            yield from _tensors(one)
    elif isinstance(value, Mapping):
        yield from _tensors(list(value.values()))


@lru_cache(maxsize=1 << 12)
def custom_facts(layer: Layer, in_shapes: tuple[Shape, ...]) -> CustomFacts:
    """Return the facts about the module of a layer; empty facts if it is not custom.

    The module runs alone in training mode on two examples of zeros. Large layers run on torch's meta device first,
    which needs no memory and more time.
    """
    failure, numbers = "", layer.params(*in_shapes) + 2 * sum(map(prod, in_shapes))
    for device in ("cpu", "meta") if numbers <= LARGE else ("meta", "cpu"):
        for dtype in (torch.float32, torch.int64):
            try:
                with torch.random.fork_rng(devices=[]), torch.device(device):
                    return _facts(construct(layer.module(*in_shapes)), _inputs(layer, in_shapes, dtype, device))
            except Exception as error:
                failure = failure or f"{type(error).__name__}: {error}".splitlines()[0]
    return CustomFacts(failure=failure)


def _facts(module: nn.Module, inputs: list[Tensor]) -> CustomFacts:
    """Return the facts about a module, run on some inputs."""
    if not any(map(is_custom, module.modules())):
        return CustomFacts()
    with torch.no_grad(), _FactsMode(module, inputs) as mode:
        module(*inputs)
    return CustomFacts(frozenset(mode.weights), frozenset(mode.functions), mode.rectifies, mode.batch_statistics)


def _inputs(layer: Layer, in_shapes: tuple[Shape, ...], dtype: torch.dtype, device: str) -> list[Tensor]:
    """Return two examples of zeros as the inputs of a layer; a traced layer knows the types itself."""
    known = getattr(layer, "dtypes", ()) or ()
    types = [getattr(torch, name) for name in known] or [dtype] * len(in_shapes)
    return [torch.zeros(2, *shape, dtype=one, device=device) for shape, one in zip(in_shapes, types, strict=True)]


def layer_class(node: Node) -> type[nn.Module]:
    """Return the class of the module of a layer, without constructing the module."""
    return module_class(node.layer.module(*node.in_shapes))


def node_facts(node: Node) -> CustomFacts:
    """Return the facts about the functions that a custom layer calls; empty facts for other layers."""
    kind = layer_class(node)
    if kind.__module__.startswith(("torch.nn.", "nasctl.networks.")) and kind.__name__ != "FunctionCalls":
        return CustomFacts()
    return custom_facts(node.layer, node.in_shapes)


def custom_layers(module: nn.Module, network: Network | None) -> dict[str, Node]:
    """Return the custom layers of a network, by the names of the module's children.

    Args:
        module: The module of the network.
        network: The network; nothing is known about custom layers if None.
    """
    names = [name for name, child in module.named_children() if any(map(is_custom, child.modules()))]
    if not names or network is None:
        return {}
    nodes = {attribute_name(node.name): node for node in network.nodes}
    return {name: nodes[name] for name in names if name in nodes}


def product_weights(module: nn.Module, custom: Mapping[str, Node]) -> dict[str, nn.Parameter]:
    """Return the parameters of a network's module that are multiplied with activations, by their names.

    These are the weights of convolutions and linear layers of every kind, the projections of attention, the weights of
    recurrent layers, and the parameters that a custom module gives to products such as `F.conv2d` or `@`. Biases,
    embeddings and the scales of norms do not count. A parameter of several layers counts once, under its first name.

    Args:
        module: The module of a network.
        custom: Its custom layers; see `custom_layers`.

    Raises:
        ValueError: A weight is computed from other tensors, or the functions of a custom layer cannot be found.
    """
    found, known = dict[str, nn.Parameter](), set[int]()
    for name, weight in weight_uses(module, custom):
        if id(weight) not in known:
            known.add(id(weight))
            found[name] = weight
    return found


def weight_uses(module: nn.Module, custom: Mapping[str, Node]) -> list[tuple[str, nn.Parameter]]:
    """Return the weights of `product_weights` with all their names: a weight of several layers has several."""
    found = list[tuple[str, nn.Parameter]]()
    for path, part in module.named_modules():
        for name in weight_names(part):
            weight = part._parameters.get(name)
            if weight is None:
                raise ValueError(f"the {name} of {layer_title(path, part)} is computed from other tensors")
            found.append((f"{path}.{name}" if path else name, weight))
    known = {name for name, _ in found}
    for child, node in custom.items():
        part = module.get_submodule(child)
        own = [
            name
            for name, _ in part.named_parameters()
            if f"{child}.{name}" not in known and is_custom(part.get_submodule(name.rpartition(".")[0]))
        ]
        facts = node_facts(node) if own else CustomFacts()
        if facts.failure:
            raise ValueError(f"the weights of {layer_title(child, part)} cannot be found: {facts.failure}")
        found += [(f"{child}.{name}", part.get_parameter(name)) for name in own if name in facts.weights]
    return found

"""A tracing by torch.fx in which the shape of everything is known."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any, NoReturn

import torch
from torch import Tensor, fx, nn

from nasctl.networks.node import Shape

# What is asked of a tensor without its values; the answer is a number, and so a forward method may decide by it.
KNOWN = frozenset(
    ("shape", "size", "ndim", "dim", "ndimension", "numel", "nelement", "dtype", "layout", "is_floating_point",
     "is_complex", "is_cuda", "is_nested", "is_sparse", "is_quantized", "requires_grad")
)  # fmt: skip
REMEDY = "make it from the input in forward (x.new_zeros(n), torch.arange(n, device=x.device)) or a parameter of it"


class Untraceable(Exception):
    """What stands in the way, and what to do."""


class _Known(fx.Proxy):
    """A value in a tracing whose shape is known."""

    def __getattr__(self, name: str) -> Any:
        value = self.node.meta["value"]
        return getattr(value, name) if name in KNOWN and isinstance(value, Tensor) else super().__getattr__(name)

    def __len__(self) -> int:
        return len(self.node.meta["value"])

    def __iter__(self) -> Iterator[Any]:
        return (self[k] for k in range(len(self)))  # type: ignore[index]

    def __setitem__(self, key: object, value: object) -> None:
        raise Untraceable("it assigns to a part of a tensor; make a new one, as torch.where and torch.cat do")

    def item(self) -> NoReturn:
        raise Untraceable("it makes Python's numbers of a tensor's values; let it keep them in tensors")

    __float__ = __int__ = __index__ = tolist = numpy = item


class _Root(nn.Module):
    """Gives a module one input, so that its other arguments have their defaults."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Any:
        return self.module(x)


class Tracer(fx.Tracer):
    """Runs a copy of the module without memory along with the tracing."""

    def __init__(self, module: nn.Module, batch: int) -> None:
        super().__init__()
        if isinstance(module, torch.jit.ScriptModule):
            raise Untraceable("TorchScript has no Python to trace; give the module that it was made of")
        tensors = [*module.parameters(), *module.buffers()]
        for name, one in module.named_parameters():
            if one.dtype != torch.float32:
                raise Untraceable(f"{name} is of {one.dtype}, and networks are of float32; call .float() first")
        empty = {id(one): _meta(one) for one in tensors}
        self._module, self._batch = _Root(deepcopy(module, empty)).eval(), batch
        self._example, self._running = torch.empty(0), False
        self._given: tuple[Any, ...] = ()  # to the module that is called
        self.proxy_buffer_attributes = True

    def traced(self, shape: Shape) -> fx.Graph:
        """The graph; every node has its `value` in its meta, and whether it `depends` on the input."""
        # A row of numbers is of tokens if there is an embedding for them.
        tokens = len(shape) == 1 and any(isinstance(one, nn.Embedding) for one in self._module.modules())
        dtype = torch.int64 if tokens else torch.float32
        self._example = torch.empty(self._batch, *shape, dtype=dtype, device="meta")
        with torch.enable_grad():
            return self.trace(self._module)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Known(node, self)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        # One that does not depend on the input has no batch; it is taken apart, and its weights are a function's.
        # So is one with hooks, which may change what it computes.
        own = getattr(nn, type(m).__name__, None) is type(m)
        whole = not any(True for _ in m.children()) or isinstance(m, nn.MultiheadAttention)
        plain = own and whole and not m._forward_hooks and not m._forward_pre_hooks
        return plain and any(depends(one.node) for one in self._given if isinstance(one, fx.Proxy))

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if self._running:
            return forward(*args, **kwargs)
        self._given = (*args, *kwargs.values())
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, fx.Proxy]) -> Any:
        return attr_val if self._running else super().getattr(attr, attr_val, parameter_proxy_cache)

    def create_arg(self, a: Any) -> Any:
        if isinstance(a, Tensor) and not isinstance(a, nn.Parameter):
            raise Untraceable(f"it uses a tensor with values of its own, of shape {tuple(a.shape)}; {REMEDY}")
        return super().create_arg(a)

    def create_proxy(self, kind: str, target: Any, args: Any, kwargs: Any, *rest: Any, **more: Any) -> fx.Proxy:
        proxy = super().create_proxy(kind, target, args, kwargs, *rest, **more)
        node = proxy.node
        self._running = True
        try:
            node.meta["value"] = self._value(node)
        finally:
            self._running = False
        node.meta["depends"] = kind == "placeholder" or (
            any(map(depends, node.all_input_nodes)) and not on_device(node)
        )
        return proxy

    def _value(self, node: fx.Node) -> Any:
        target: Any = node.target
        if node.op == "placeholder":
            return self._example
        if node.op == "get_attr":
            return operator.attrgetter(target)(self._module)
        args: Any
        args, kwargs = fx.map_arg((node.args, node.kwargs), lambda one: one.meta["value"])
        if node.op == "call_module":
            part = self._module.get_submodule(target)
            if isinstance(part, nn.modules.batchnorm._NormBase):  # which keeps the shape, and takes a millisecond
                return torch.empty_like(args[0])
            return part.forward(*args, **kwargs)
        return getattr(args[0], target)(*args[1:], **kwargs) if node.op == "call_method" else target(*args, **kwargs)


def depends(node: fx.Node) -> bool:
    """Whether a value depends on the module's input; a constant that fx has put aside does not."""
    return bool(node.meta.get("depends"))


def on_device(node: fx.Node) -> bool:
    """Whether a value is the device that a tensor is on."""
    return node.target is getattr and node.args[1] == "device"


def _meta(tensor: Tensor) -> Tensor:
    empty = torch.empty_like(tensor, device="meta")
    return nn.Parameter(empty, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty


def original(path: str) -> str:
    """A path below the root of the tracing as it is in the module."""
    return path.removeprefix("module").removeprefix(".")

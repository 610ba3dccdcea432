"""Tracing with torch.fx in which the shape of every value is known."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any, NoReturn

import torch
from torch import Tensor, fx, nn

from nasctl.networks.node import Shape

# Attributes and methods of a tensor that do not need its values. A forward method may branch on them.
KNOWN = frozenset(
    ("shape", "size", "ndim", "dim", "ndimension", "numel", "nelement", "dtype", "layout", "is_floating_point",
     "is_complex", "is_cuda", "is_nested", "is_sparse", "is_quantized", "requires_grad")
)  # fmt: skip
REMEDY = "make it from the input in forward (x.new_zeros(n), torch.arange(n, device=x.device)) or a parameter of it"


class Untraceable(Exception):
    """A module cannot be traced; the message says why and what to change."""


class _KnownShape(fx.Proxy):
    """A traced value whose shape is known."""

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
        raise Untraceable("it converts values of a tensor to numbers of Python; keep them in tensors")

    __float__ = __int__ = __index__ = tolist = numpy = item


class _OneInput(nn.Module):
    """A module with one input, whose other arguments keep their defaults."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Any:
        return self.module(x)


class Tracer(fx.Tracer):
    """A tracer that runs a copy of the module on the meta device along with the tracing.

    Args:
        module: The module to trace.
        batch: Number of examples in the input.

    Raises:
        Untraceable: The module is TorchScript, or has parameters that are not float32.
    """

    def __init__(self, module: nn.Module, batch: int) -> None:
        super().__init__()
        if isinstance(module, torch.jit.ScriptModule):
            raise Untraceable("TorchScript has no Python to trace; give the module that it was compiled from")
        tensors = [*module.parameters(), *module.buffers()]
        for name, one in module.named_parameters():
            if one.dtype != torch.float32:
                raise Untraceable(f"{name} is of {one.dtype}, and networks are of float32; call .float() first")
        empty = {id(one): _on_meta(one) for one in tensors}
        self._module, self._batch = _OneInput(deepcopy(module, empty)).eval(), batch
        self._example, self._running = torch.empty(0), False
        self._given: tuple[Any, ...] = ()  # arguments of the module that is being called
        self.proxy_buffer_attributes = True

    def traced_graph(self, shape: Shape) -> fx.Graph:
        """Trace the module for inputs of a shape, without the batch.

        The meta of every node has its `value`, a tensor on the meta device or another object, and whether it `depends`
        on the input.
        """
        # A vector of numbers is a sequence of tokens if the module has an embedding.
        tokens = len(shape) == 1 and any(isinstance(one, nn.Embedding) for one in self._module.modules())
        dtype = torch.int64 if tokens else torch.float32
        self._example = torch.empty(self._batch, *shape, dtype=dtype, device="meta")
        with torch.enable_grad():
            return self.trace(self._module)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _KnownShape(node, self)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        # A layer on a value that does not depend on the input has no batch: its weights become those of a function. A
        # layer with hooks is traced inside, because hooks may change its output.
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
            raise Untraceable(f"it uses a constant tensor of shape {tuple(a.shape)}; {REMEDY}")
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
            if isinstance(part, nn.modules.batchnorm._NormBase):  # norms keep the shape, and running one takes 1 ms
                return torch.empty_like(args[0])
            return part.forward(*args, **kwargs)
        return getattr(args[0], target)(*args[1:], **kwargs) if node.op == "call_method" else target(*args, **kwargs)


def depends(node: fx.Node) -> bool:
    """Return whether a value depends on the module's input; a constant of torch.fx does not."""
    return bool(node.meta.get("depends"))


def on_device(node: fx.Node) -> bool:
    """Return whether a value is the device of a tensor."""
    return node.target is getattr and node.args[1] == "device"


def _on_meta(tensor: Tensor) -> Tensor:
    """Return a tensor or parameter of the same shape on the meta device."""
    empty = torch.empty_like(tensor, device="meta")
    return nn.Parameter(empty, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty


def original_path(path: str) -> str:
    """Return a path in the tracer's wrapper as a path in the module itself."""
    return path.removeprefix("module").removeprefix(".")

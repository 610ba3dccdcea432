"""The module that calls functions of torch one after another, and the constant tensors that it may hold."""

from __future__ import annotations

import zlib
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from hashlib import sha256

import torch
from torch import Tensor, nn

from nasctl.networks.node import Shape


class FunctionCalls(nn.Module):
    """A sequence of calls of torch's functions, whose output is the result of the last call.

    Args:
        *steps: For each call a function ("nn.functional.pad"), a method (".view") or a layer ("$.conv"), its positional
            arguments, and its keyword arguments. In arguments, "$0", "$1" and so on stand for the inputs and then for
            the results of earlier steps, "$batch*2" for twice the batch, "$device" for the device of the first input,
            "$.name" for a weight or a constant, "$float32" and the like for the object of that name in torch, "$inf"
            and the like for the float. A tuple that begins with "$list" or "$slice" stands for a list or a slice. The
            function "$" has the value of its argument.
        weights: For each parameter a name, a shape and its constant initial value. None as the initial value means
            draws from N(0, 0.02^2), and a tuple of type, shape and data means these values.
        constants: For each constant a name, a type, a shape and its data: bytes, compressed by zlib, in base64.
        parts: For each layer a name, a class of torch.nn and its keyword arguments.
    """

    def __init__(self, *steps: tuple, weights: tuple = (), constants: tuple = (), parts: tuple = ()) -> None:  # type: ignore[type-arg]
        super().__init__()
        self.steps = steps
        for name, shape, fill in weights:
            if isinstance(fill, tuple):
                first = self.decoded(*fill)
            else:
                first = torch.randn(shape) * 0.02 if fill is None else torch.full(shape, fill)
            self.register_parameter(name, nn.Parameter(first))
        for name, *fill in constants:
            self.register_buffer(name, self.decoded(*fill), persistent=False)
        for name, kind, options in parts:
            self.add_module(name, getattr(nn, kind)(**dict(options)))

    def decoded(self, dtype: str, shape: tuple, data: str) -> Tensor:  # type: ignore[type-arg]
        """Return the tensor of a constant."""
        from base64 import b64decode
        from zlib import decompress

        kind, values = getattr(torch, dtype), bytearray(decompress(b64decode(data)))
        found = torch.frombuffer(values, dtype=kind) if values else torch.empty(0, dtype=kind)
        return found.to(torch.empty(0).device).reshape(shape)  # the device of new tensors

    def forward(self, *inputs: Tensor) -> Tensor:
        values: list = list(inputs)  # type: ignore[type-arg]
        for name, positional, by_name in self.steps:
            args = [self.resolved(one, values) for one in positional]
            options = {key: self.resolved(one, values) for key, one in by_name}
            if name == "$":
                values.append(args[0])
                continue
            if name[0] == "$":
                values.append(self.get_submodule(name[2:])(*args, **options))
                continue
            function = getattr(args.pop(0), name[1:]) if name[0] == "." else torch
            for part in [] if name[0] == "." else name.split("."):
                function = getattr(function, part)
            values.append(function(*args, **options) if callable(function) else function)
        return values[-1]  # type: ignore[no-any-return]

    def resolved(self, argument: object, values: list) -> object:  # type: ignore[type-arg]
        """Return the object that an argument stands for."""
        if isinstance(argument, tuple):
            kind = argument[0] if argument and argument[0] in ("$list", "$slice") else ""
            parts = [self.resolved(one, values) for one in (argument[1:] if kind else argument)]
            return slice(*parts) if kind == "$slice" else parts if kind else tuple(parts)
        if not isinstance(argument, str) or argument[:1] != "$":
            return argument
        name = argument[1:]
        if name.startswith("batch*"):
            return values[0].shape[0] * int(name[6:])  # torch.export keeps this dimension dynamic
        if name == "device":
            return values[0].device
        if name == "...":
            return ...
        if name[0] == ".":
            return getattr(self, name[1:])
        if name.isdigit():
            return values[int(name)]
        return getattr(torch, name) if hasattr(torch, name) else float(name)


@dataclass(frozen=True, slots=True, repr=False)
class Constant:
    """A tensor as data. Equal constants have equal types, shapes and digests of their bytes."""

    dtype: str  # "float32"
    shape: Shape
    digest: str  # SHA-256 of the bytes
    data: str = field(compare=False)  # the bytes, compressed by zlib, in base64

    def __repr__(self) -> str:
        return f"Constant({self.dtype!r}, {self.shape!r}, sha256={self.digest[:32]!r})"

    @property
    def literal(self) -> tuple[str, Shape, str]:
        """The constant in the form that `FunctionCalls` takes."""
        return self.dtype, self.shape, self.data


def constant_of(tensor: Tensor) -> Constant:
    """Return a tensor as a constant; the bytes are those of its contiguous values on the CPU."""
    values = tensor.detach().cpu().contiguous()
    content = values.reshape(-1).view(torch.uint8).numpy().tobytes() if values.numel() else b""
    kind = str(values.dtype).removeprefix("torch.")
    packed = b64encode(zlib.compress(content, 6)).decode()
    return Constant(kind, tuple(values.shape), sha256(content).hexdigest(), packed)


def tensor_of(constant: Constant) -> Tensor:
    """Return the tensor that a constant holds, on the CPU."""
    content = bytearray(zlib.decompress(b64decode(constant.data)))
    kind = getattr(torch, constant.dtype)
    found = torch.frombuffer(content, dtype=kind) if content else torch.empty(0, dtype=kind)
    return found.reshape(constant.shape)

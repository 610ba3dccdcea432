"""The record of a module's forward pass in operators of ATen, made by torch.export."""

from __future__ import annotations

import logging
import operator
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from typing import Any

import torch
from torch import Tensor, fx, nn

from nasctl.networks.function_names import VIEWS, last_part
from nasctl.networks.module_trace import copy_of, named_tensors
from nasctl.networks.trace_records import Record, Untraceable

# Operators that equal functions of torch, with the places of the function's arguments among those of the operator.
FUNCTIONS: Mapping[str, tuple[str, tuple[int, ...]]] = {
    **{
        f"{name}.default": (name, tuple(range(7))) for name in ("conv1d", "conv2d", "conv3d", "relu", "sigmoid", "tanh")
    },
    "add.Tensor": ("add", (0, 1)),
    "mul.Tensor": ("mul", (0, 1)),
    "cat.default": ("cat", (0, 1)),
    "flatten.using_ints": ("flatten", (0, 1, 2)),
    "linear.default": ("nn.functional.linear", (0, 1, 2)),
    "layer_norm.default": ("nn.functional.layer_norm", (0, 1, 2, 3, 4)),
    "group_norm.default": ("nn.functional.group_norm", (0, 1, 2, 3, 4)),
    "batch_norm.default": ("nn.functional.batch_norm", (0, 3, 4, 1, 2, 5, 6, 7)),
}


def exported_records(module: nn.Module, example: Tensor) -> tuple[list[Record], Record]:
    """Return the values of a forward pass as torch.export records them, and the output.

    Args:
        module: The module; a copy of it is exported.
        example: An input, (B, ...), on the CPU.

    Raises:
        Untraceable: The module changes its buffers, or returns no tensor.
    """
    copy = copy_of(module, lambda name, tensor: tensor if isinstance(tensor, nn.Parameter) else tensor.detach().clone())
    with _silenced():
        program = torch.export.export(copy, (example,), strict=False)
        if any(not _can_be_functional(node) for node in program.graph.nodes):
            program = program.run_decompositions({})
    signature = program.graph_signature
    if signature.buffers_to_mutate or len(signature.user_outputs) != 1:
        raise Untraceable("it changes its buffers in forward, or does not return one tensor")
    return _Reader(program, module).records()


@contextmanager
def _silenced() -> Iterator[None]:
    """Drop what torch's exporter prints about modules that it cannot export."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            yield
    finally:
        logging.disable(before)


class _Reader:
    """A reader that turns the graph of an exported program into records."""

    def __init__(self, program: torch.export.ExportedProgram, module: nn.Module) -> None:
        self._program, self._tensors = program, named_tensors(module)
        self._first_names = {id(one): name for name, one in self._tensors.items()}
        self._all_names = dict(module.named_parameters(remove_duplicate=False))
        self._records: list[Record] = []
        self._known: dict[fx.Node, Record] = {}

    def records(self) -> tuple[list[Record], Record]:
        """Return the values, and the output."""
        for node in self._program.graph.nodes:
            if node.op == "output":
                (result,) = node.args[0]
                return self._records, self._known[result]
            record = self._placeholder(node) if node.op == "placeholder" else self._call(node)
            if record is not None:
                value = node.meta.get("val")
                if isinstance(value, Tensor):
                    record.shape, record.dtype = tuple(value.shape), value.dtype
                self._known[node] = record
        raise Untraceable("it does not return one tensor")

    def _placeholder(self, node: fx.Node) -> Record:
        signature = self._program.graph_signature
        names: dict[str, Any] = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        if node.name in names:
            name = str(names[node.name])
            if name not in self._tensors and name in self._all_names:
                name = self._first_names[id(self._all_names[name])]
            value = self._tensors[name]
            return self._append("tensor", name, function=value, learned=isinstance(value, nn.Parameter))
        constants: dict[str, Any] = dict(signature.inputs_to_lifted_tensor_constants)
        if node.name in constants:
            return self._append("tensor", "", function=self._program.constants[constants[node.name]])
        return self._append("input", "", depends=True)

    def _call(self, node: fx.Node) -> Record | None:
        known: Any = self._known.__getitem__
        given: Any = fx.map_arg((tuple(node.args), dict(node.kwargs)), known)
        args, options = given
        if node.target is operator.getitem:
            return self._append("item", ".__getitem__", args)
        if not isinstance(node.target, torch._ops.OpOverload):
            raise Untraceable(f"torch.export found {node.target}, which is no operator")
        if not isinstance(node.meta.get("val"), Tensor | tuple | list):
            return None  # a check, such as one of a type
        target = node.target
        name = f"{target.overloadpacket.__name__.removesuffix('_')}.{target._overloadname}"
        if last_part(target.overloadpacket.__name__) == "dropout" and not args[2]:
            found: Record = args[0]
            return found
        options = {key: value for key, value in options.items() if key not in ("pin_memory", "layout")}
        if name in FUNCTIONS and not options:
            name, places = FUNCTIONS[name]
            args = tuple(args[k] for k in places if k < len(args))
        else:
            name = f"ops.{target.namespace}.{'reshape.default' if name == 'view.default' else name}"
        return self._append("call", name, args, options, function=target, path=_path(node))

    def _append(
        self, kind: str, name: str, args: Sequence[Any] = (), options: Mapping[str, Any] | None = None, **more: Any
    ) -> Record:
        record = Record(len(self._records), kind, name, tuple(args), options or {}, **more)
        for source in record.sources():
            record.depends |= source.depends
            record.learned |= source.learned
        self._records.append(record)
        return record


def _can_be_functional(node: fx.Node) -> bool:
    """Return whether a call changes nothing, or only a value that nothing else reads."""
    target = node.target
    if not isinstance(target, torch._ops.OpOverload) or not target._schema.is_mutable:
        return True
    name = target.overloadpacket.__name__
    changed: Any = node.args[0] if node.args else None
    plain = name.endswith("_") and hasattr(getattr(torch.ops, target.namespace), name[:-1])
    alone = isinstance(changed, fx.Node) and len(changed.users) == 1 and changed.op == "call_function"
    return plain and alone and _name_of(changed.target) not in VIEWS


def _name_of(target: object) -> str:
    return target.overloadpacket.__name__ if isinstance(target, torch._ops.OpOverload) else "__getitem__"


def _path(node: fx.Node) -> str:
    """Return the path of the module whose forward makes a call."""
    stack = [path for path, _ in node.meta.get("nn_module_stack", {}).values()]
    path = str(stack[-1]) if stack else ""
    return path if all(part.isidentifier() or part.isdigit() for part in path.split(".")) else ""

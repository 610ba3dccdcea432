"""The record of a forward pass: every call of torch's functions and of layers, with the shapes of their values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from nasctl.networks.function_names import (
    DATA_FACTORIES,
    DROPOUT,
    FACTORIES,
    IDENTITIES,
    ON_CPU,
    RANDOM,
    REFUSED,
    RESHAPES,
    VALUE_QUERIES,
    VIEWS,
    function_name,
    is_in_place_name,
    last_part,
    stated_options,
)
from nasctl.networks.leaf_modules import Rebuilt, run_leaf
from nasctl.networks.trace_records import FOREIGN, InPlace, Record, Unrecordable, Untraceable, evaluated, replaced


class Recorder(TorchFunctionMode):
    """A mode of torch in which calls are recorded while a module runs.

    The module runs as it is, on tensors that are tensors, so that it takes the path that it takes without the recorder.
    On the meta device tensors have no values, and a path that depends on values is refused.

    Args:
        names: Names of the module's parameters and buffers by their ids.
        tensors: The module's parameters and buffers, with values, by their names.
        empty: Whether the module runs on the meta device. Otherwise it runs with values, which are kept.

    Attributes:
        records: The values in the order in which they were computed.
        values: The value of each record, if the module runs with values.
        uses_gradients: Whether the module sets gradients otherwise than by differentiating its functions.
        misses_calls: Whether the module calls something that is no function of torch, such as compiled TorchScript.
    """

    def __init__(self, names: Mapping[int, str], tensors: Mapping[str, Tensor], empty: bool = True) -> None:
        super().__init__()
        self.records: list[Record] = []
        self.values: dict[Record, Tensor] = {}
        self.uses_gradients = False
        self.misses_calls = False
        self._names, self._tensors, self._empty = names, tensors, empty
        self._known: dict[int, Record] = {}  # by the id of a tensor
        self._kept: list[Tensor] = []  # tensors whose ids are in use
        self._stale: dict[int, str] = {}  # ids of tensors of which something else has changed the memory
        self._storages: dict[int, list[Tensor]] = {}  # tensors by the memory that they share
        self._paths = [""]
        self._paused = False

    # Values

    def start(self, example: Tensor) -> Tensor:
        """Record the input of the module."""
        record = self._append("input", "", (), depends=True)
        self._note(record, example)
        return example

    def record_of(self, tensor: Tensor) -> Record:
        """Return the record of a tensor, and record it first if it is a parameter, a buffer or a constant."""
        if id(tensor) in self._stale:
            raise Untraceable(self._stale[id(tensor)])
        found = self._known.get(id(tensor))
        if found is not None:
            return found
        name = self._names.get(id(tensor), "")
        if not name and tensor.is_meta and self._empty:
            raise Unrecordable(FOREIGN)
        made = self._append("tensor", name, ())
        made.function = self._tensors[name] if name else tensor.detach()
        made.learned = isinstance(made.function, nn.Parameter)
        self._note(made, tensor)
        return made

    @contextmanager
    def within(self, path: str) -> Iterator[None]:
        """Note the path of the module whose forward runs."""
        self._paths.append(path)
        try:
            yield
        finally:
            self._paths.pop()

    # Calls

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        options = kwargs or {}
        if self._paused:
            return func(*args, **options)
        name = function_name(func)
        last = last_part(name)
        if name.startswith(
            "ops.prims"
        ):  # torch computes an operator that was called unseen, such as one of TorchScript
            self.misses_calls = True
            raise Unrecordable(FOREIGN)
        if last in REFUSED and not name.startswith("ops."):
            return self._of_constants(func, args, options, REFUSED[last])
        if last in VALUE_QUERIES and args and isinstance(args[0], Tensor):
            return self._queried(func, args, options)
        if last in IDENTITIES:
            return args[0]
        if last == "_assert" and isinstance(args[0], Tensor):
            return None
        if last in ON_CPU and self._empty:
            return ON_CPU[last]  # the meta device stands for the CPU
        if last == "requires_grad" and self._names.get(id(args[0])):
            return self._tensors[self._names[id(args[0])]].requires_grad
        if last in ("__getitem__", "__setitem__") and self._empty:
            args = (args[0], self._without_masks(args[1]), *args[2:])
        if last in DROPOUT:
            return self._dropout(func, args, options)
        if last in RANDOM or (last == "rrelu" and options.get("training")):
            raise Untraceable(f"it draws random numbers in evaluation, with {last}; draw them in training only")
        if func in DATA_FACTORIES or last == "new_tensor":
            return self._constant(func, args, options)
        return self._called(func, name, args, options)

    def _called(self, func: Callable[..., Any], name: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Run and record a call, unless it returns no tensor or one of its arguments as it is."""
        last, out = last_part(name), options.get("out")
        if isinstance(out, tuple | list):
            raise Untraceable(f"{last} writes several tensors with out=; use the values that it returns")
        changes = out if isinstance(out, Tensor) else args[0] if args and is_in_place_name(last) else None
        given = {key: value for key, value in options.items() if key != "out"}
        if func in FACTORIES and self._empty:
            given["device"] = torch.device("meta")  # in the network, the device of its input
        function = func
        if changes is None or changes is out:
            result = self._run(func, args, given)
        else:
            function, name = self._without_change(func, name, args, given)
            result = self._run(func, args, given)
        if changes is None and isinstance(result, Tensor) and options.get("inplace"):
            changes = args[0]
        if changes is None and not _has_tensors(result):
            return result
        if changes is None and any(result is one for one in args):
            return result
        if not name:
            raise Unrecordable(f"it calls {getattr(func, '__name__', func)}, which is no function of torch with a name")
        if changes is not None and changes is out and (result.shape, result.dtype) != (out.shape, out.dtype):
            raise Untraceable(f"{last} has another shape or type than its out=; use the value that it returns")
        taken = replaced((args, given), Tensor, self.record_of)
        record = self._append("call", name, taken[0], stated_options(func, taken[1]), function=function)
        if changes is None:
            return self._returned(record, result)
        self._changed(record, changes)
        return changes if isinstance(result, Tensor) else result

    def _without_change(
        self, func: Callable[..., Any], name: str, args: tuple[Any, ...], options: Mapping[str, Any]
    ) -> tuple[Callable[..., Any], str]:
        """Return the function that computes the value of a function in place, and its name."""
        last = last_part(name)
        plain = last.removesuffix("_") if not last.startswith("__") else last.replace("__i", "__", 1)
        home: Any = torch.Tensor if name[0] == "." else nn.functional if name.startswith("nn.") else torch
        other = getattr(home, plain, None) if plain and not name.startswith("ops.") else None
        if other is not None and last != "__setitem__":
            try:
                result = self._run(other, args, options)
            except (TypeError, RuntimeError):  # the two functions do not take the same arguments
                result = None
            if isinstance(result, Tensor) and (result.shape, result.dtype) == (args[0].shape, args[0].dtype):
                return other, name.removesuffix(last) + plain
        return InPlace(func), name

    def _run(self, func: Callable[..., Any], args: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
        """Run a function, on the meta device if the module runs there."""
        if not self._empty:
            return func(*args, **options)
        try:
            return self._run_empty(func, args, options)
        except NotImplementedError as error:
            if "nonzero" in str(error):  # an index with truth values
                raise Untraceable(REFUSED["nonzero"]) from error
            raise

    def _run_empty(self, func: Callable[..., Any], args: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
        args, options = replaced((args, dict(options)), Tensor, self._on_meta)
        args, options = replaced((args, options), torch.device, lambda _: torch.device("meta"))
        if isinstance(options.get("device"), str):
            options = {**options, "device": torch.device("meta")}
        if last_part(function_name(func)) == "to":
            args = tuple("meta" if isinstance(one, str) else one for one in args)
        return func(*args, **options)

    def _on_meta(self, tensor: Tensor) -> Tensor:
        if tensor.is_meta or not self._empty:
            return tensor
        self.record_of(tensor)
        return torch.empty_like(tensor, device="meta", requires_grad=False)

    def _changed(self, record: Record, tensor: Tensor) -> None:
        """Note that a call in place has given a tensor a new value, and renew the values of its views."""
        shared = self._storages.get(_storage(tensor), [])
        held = self.record_of(tensor)
        for one in (held, *(self._known[id(other)] for other in shared)):
            if one.kind == "tensor":
                what = f"{one.name}, a tensor of the module," if one.name else "a constant"
                raise Untraceable(f"it changes {what} in forward, so that its output depends on earlier calls")
        self._note(record, tensor)
        for other in shared:
            if other is not tensor:
                self._renew(other, held, record, tensor)

    def _renew(self, other: Tensor, held: Record, record: Record, tensor: Tensor) -> None:
        """Record the new value of a tensor that shares the memory of a changed one, if one is a view of the other."""
        old = self._known[id(other)]
        if old.kind == "call" and last_part(old.name) in VIEWS and old.args[:1] == (held,):
            made = self._append("call", old.name, (record, *old.args[1:]), old.options, function=old.function)
        elif held.kind == "call" and last_part(held.name) in VIEWS and held.args[:1] == (old,):
            if last_part(held.name) == "__getitem__":
                assign = InPlace(torch.Tensor.__setitem__)
                made = self._append("call", ".__setitem__", (old, held.args[1], record), function=assign)
            elif last_part(held.name) in RESHAPES:
                shape = tuple(other.shape)
                made = self._append("call", ".reshape", (record, shape), function=torch.Tensor.reshape)
            else:
                made = None
        else:
            made = None
        if made is None:
            name = last_part(record.name)
            reason = f"{name} changes a value in place that is used after it; return a new tensor instead"
            self._stale[id(other)] = reason
        else:
            self._note(made, other)

    def _returned(self, record: Record, result: Any) -> Any:
        """Note the tensors that a call returns, and return its result."""
        if isinstance(result, Tensor):
            self._note(record, result)
            return result

        def note(value: Any, source: Record, place: int) -> None:
            item = self._append("item", ".__getitem__", (source, place))
            if isinstance(value, Tensor):
                self._note(item, value)
            else:
                for k, one in enumerate(value):
                    if isinstance(one, Tensor | tuple | list):
                        note(one, item, k)

        for k, one in enumerate(result):
            if isinstance(one, Tensor | tuple | list):
                note(one, record, k)
        return result

    def _note(self, record: Record, tensor: Tensor) -> None:
        record.shape, record.dtype = tuple(tensor.shape), tensor.dtype
        if not self._empty:
            with self.paused():
                self.values[record] = tensor.detach().clone()
        if id(tensor) not in self._known:
            self._kept.append(tensor)
            self._storages.setdefault(_storage(tensor), []).append(tensor)
        self._known[id(tensor)] = record
        self._stale.pop(id(tensor), None)

    def _append(
        self, kind: str, name: str, args: tuple[Any, ...], options: Mapping[str, Any] | None = None, **more: Any
    ) -> Record:
        made = Record(len(self.records), kind, name, args, options or {}, path=self._paths[-1], **more)
        for source in made.sources():
            made.depends |= source.depends
            made.learned |= source.learned
        if kind == "call" and (made.depends or made.learned):
            self.uses_gradients |= not torch.is_grad_enabled() or last_part(name) in ("detach", "data")
        self.records.append(made)
        return made

    # Layers

    def call_leaf(self, rebuilt: Rebuilt, module: nn.Module, path: str, args: Any, kwargs: dict[str, Any]) -> Any:
        """Record the call of a layer of torch.nn as one value, and run it."""
        with self.paused():
            taken = replaced((args, kwargs), Tensor, self.record_of)
            args, kwargs = replaced((args, kwargs), Tensor, self._on_meta)
            result = run_leaf(rebuilt, module, args, kwargs, self._empty)
        record = self._append("module", path, taken[0], taken[1], function=module, rebuilt=rebuilt)
        record.learned |= any(True for _ in module.parameters())
        if isinstance(result, Tensor) and any(result is one for one in args):  # in place, such as ReLU(inplace=True)
            self._changed(record, result)
            return result
        return self._returned(record, result)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Record nothing."""
        before, self._paused = self._paused, True
        try:
            yield
        finally:
            self._paused = before

    @property
    def is_paused(self) -> bool:
        """Whether calls are not recorded now."""
        return self._paused

    # Functions that need values

    def _dropout(self, func: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        training = options["training"] if "training" in options else args[2] if len(args) > 2 else True
        p = options["p"] if "p" in options else args[1] if len(args) > 1 else 0.5
        if training and p:
            raise Untraceable("it applies dropout in evaluation; give it training=self.training")
        return args[0] if args else options["input"]

    def _constant(self, func: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Return a constant tensor made of numbers, or the tensor itself if it is made of one."""
        if args and isinstance(args[0], Tensor) and func in (torch.as_tensor, torch.asarray):
            return self._called(torch.Tensor.to, ".to", (args[0], options.get("dtype") or args[0].dtype), {})
        like = args[0] if last_part(function_name(func)) == "new_tensor" else None
        if like is not None:
            func, args, options = torch.tensor, args[1:], {"dtype": like.dtype, **options}
        given = replaced((args, options), Tensor, lambda one: one if one.device.type == "cpu" else self.value_of(one))
        values = func(*given[0], **{**given[1], "device": "cpu"}).detach()
        made = self._append("tensor", "", ())
        made.function = values
        return self._returned(made, torch.empty_like(values, device="meta") if self._empty else values)

    def _of_constants(self, func: Callable[..., Any], args: Any, options: dict[str, Any], reason: str) -> Any:
        """Return the constant that a function has of constants; for other tensors the shape of its value is unknown."""
        try:
            given, more = replaced((args, options), Tensor, self.value_of)
        except Untraceable as error:
            raise Untraceable(reason) from error
        with self.paused():
            values = func(*given, **more)
        if not isinstance(values, Tensor):
            raise Untraceable(reason)
        return self._constant(torch.tensor, (values,), {}) if self._empty else values

    def _without_masks(self, index: Any) -> Any:
        """Return an index in which constant truth values are places, which have a known number."""
        parts: list[Any] = []
        for one in index if isinstance(index, tuple) else (index,):
            if isinstance(one, Tensor) and one.dtype == torch.bool:
                record = self.record_of(one)
                if not record.depends and not record.learned:
                    with self.paused():
                        places = self.value_of(one).nonzero(as_tuple=True)
                    parts += [self._constant(torch.tensor, (values,), {}) for values in places]
                    continue
            parts.append(one)
        return tuple(parts) if isinstance(index, tuple) or len(parts) > 1 else parts[0]

    def _queried(self, func: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        args, options = replaced((args, options), Tensor, self.value_of)
        return func(*args, **options)

    def value_of(self, tensor: Tensor) -> Tensor:
        """Return the value of a tensor that does not depend on the input.

        Raises:
            Untraceable: It depends on the input or on a parameter.
        """
        if not self._empty:
            return tensor
        record = self.record_of(tensor)
        if record.depends or record.learned:
            raise Untraceable(
                "its forward branches on the values of a tensor, or converts them to numbers of Python; "
                "keep them in tensors, and branch on shapes or in the constructor"
            )
        with self.paused(), torch.no_grad():
            value: Tensor = evaluated(record, {})
        return value


def _storage(tensor: Tensor) -> int:
    """Return a number that tensors with shared memory have in common."""
    return tensor.untyped_storage()._cdata if tensor.layout is torch.strided else id(tensor)


def _has_tensors(value: Any) -> bool:
    return isinstance(value, Tensor) or (isinstance(value, tuple | list) and any(map(_has_tensors, value)))

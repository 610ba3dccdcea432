"""The record of a module's forward pass on the meta device, which holds no values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from functools import partial
from random import getstate
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nasctl.networks.leaf_modules import CONTAINERS, Rebuilt, overrides, rebuilt, torch_class
from nasctl.networks.node import Shape
from nasctl.networks.recorder import Recorder
from nasctl.networks.trace_records import FOREIGN, Unrecordable, Untraceable


def named_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return all parameters and buffers of a module by their names; a shared one has its first name."""
    return dict([*module.named_parameters(), *module.named_buffers()])


def empty_like(name: str, tensor: Tensor) -> Tensor:
    """Return a tensor or parameter of the same shape on the meta device, which has no values."""
    empty = torch.empty_like(tensor, device="meta")
    return nn.Parameter(empty, requires_grad=False) if isinstance(tensor, nn.Parameter) else empty


def _generator_states() -> dict[str, object]:
    """Return the states of the global generators that a forward pass may draw from without a call of torch."""
    return {"random": getstate(), "numpy.random": str(np.random.get_state())}  # noqa: NPY002  # read, never drawn from


class ModuleTrace:
    """A copy of a module whose forward pass can be recorded; the module itself is never run or changed.

    Args:
        module: The module to record.
        replaced: Returns the tensor of the copy for the name and the tensor of a parameter or buffer. By default the
            copy is on the meta device.
        like: A trace of the same module, which knows its layers.

    Raises:
        Untraceable: The module cannot be copied, is TorchScript, or has parameters that are not float32.
    """

    def __init__(
        self,
        module: nn.Module,
        replaced: Callable[[str, Tensor], Tensor] = empty_like,
        like: ModuleTrace | None = None,
    ) -> None:
        if isinstance(module, torch.jit.ScriptModule):
            raise Untraceable("TorchScript has no Python to trace; give the module that it was compiled from")
        module = getattr(module, "_orig_mod", module)  # a module that torch.compile has wrapped
        for name, one in module.named_parameters():
            if one.dtype != torch.float32:
                raise Untraceable(f"{name} is of {one.dtype}, and networks are of float32; call .float() first")
        self.module, self.tensors = module, named_tensors(module)
        self.copy = copy_of(module, replaced)
        self._empty = replaced is empty_like
        self.names = {id(one): name for name, one in named_tensors(self.copy).items()}
        self._leaves: dict[tuple[str, type[nn.Module]], Rebuilt | None] = like._leaves if like else {}
        self._recorder: Recorder | None = None
        self._paths = {id(part): path for path, part in self.copy.named_modules()}
        self._wrap()

    def record(self, example: Tensor) -> tuple[Recorder, Any]:
        """Return the recorder of one forward pass on an example, and the result as records."""
        recorder = Recorder(self.names, self.tensors, self._empty)
        self._recorder = recorder
        states = _generator_states()
        try:
            with torch.enable_grad() if self._empty else torch.no_grad(), self._patched(), recorder:
                result = self.copy(recorder.start(example))
                if isinstance(result, Tensor):
                    with recorder.paused():
                        result = recorder.record_of(result)
        except RuntimeError as error:  # TorchScript raises its own kind for any error
            if recorder.misses_calls:
                raise Unrecordable(FOREIGN) from error
            raise
        finally:
            self._recorder = None
            drawn = [one for one, before in states.items() if _generator_states()[one] != before]
        if drawn:
            raise Untraceable(f"it draws random numbers from {drawn[0]} in evaluation; draw them in training only")
        return recorder, result

    # Layers are recorded where their forward is called. It is replaced in each instance, so that hooks run as usual.

    def _wrap(self) -> None:
        for path, part in self.copy.named_modules():
            if isinstance(part, torch.jit.ScriptModule):
                raise Untraceable(f"{path} is TorchScript, which has no Python to trace; give the original module")
            part.__dict__["forward"] = partial(self._forward, part, path, part.forward)

    def _forward(self, part: nn.Module, path: str, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        recorder = self._recorder
        if recorder is None or recorder.is_paused:
            return forward(*args, **kwargs)
        kind = torch_class(part)
        if kind is not None and not overrides(part, kind):
            found = self._leaf(part, path, kind, exact=True)
            if found is not None:
                return self._call_leaf(found, part, path, args, kwargs)
        with recorder.within(path):
            return forward(*args, **kwargs)

    def _call_leaf(self, found: Rebuilt, part: nn.Module, path: str, args: Any, kwargs: Any) -> Any:
        assert self._recorder is not None
        if isinstance(part, nn.Identity):
            return args[0]
        if part.training and isinstance(part, nn.modules.batchnorm._NormBase | nn.modules.dropout._DropoutNd):
            raise Untraceable(f"{path} stays in training mode in evaluation; let eval() reach it")
        if isinstance(part, nn.modules.dropout._DropoutNd):
            return args[0] if args else kwargs["input"]
        return self._recorder.call_leaf(found, part, path, args, kwargs)

    def _leaf(self, part: nn.Module, path: str, kind: type[nn.Module], exact: bool) -> Rebuilt | None:
        """Return how to construct a layer again, or None if the module is no layer of torch.nn."""
        if (path, kind) not in self._leaves:
            whole = not any(True for _ in part.children()) or kind is nn.MultiheadAttention or not exact
            whole = whole and kind not in CONTAINERS
            with torch._C.DisableTorchFunction(), self._recorder.paused() if self._recorder else ExitStack():
                self._leaves[path, kind] = rebuilt(part, kind, exact) if whole else None
        return self._leaves[path, kind]

    @contextmanager
    def _patched(self) -> Iterator[None]:
        """Let the forward methods of layers record themselves, as `super().forward(x)` of subclasses calls them."""
        kinds = {torch_class(part) for part in self.copy.modules()} - {None, *CONTAINERS}
        bases = {
            kind
            for kind in kinds
            if kind is not None
            and any(torch_class(part) is kind and type(part) is not kind for part in self.copy.modules())
        }
        with ExitStack() as stack:
            for kind in bases:
                stack.enter_context(self._replaced_forward(kind))
            stack.enter_context(_replaced(torch.autograd.Function, "apply", classmethod(partial(self._custom))))
            yield

    @contextmanager
    def _replaced_forward(self, kind: type[nn.Module]) -> Iterator[None]:
        original = kind.forward

        def forward(part: nn.Module, *args: Any, **kwargs: Any) -> Any:
            recorder = self._recorder
            if recorder is None or recorder.is_paused or id(part) not in self._paths or torch_class(part) is not kind:
                return original(part, *args, **kwargs)
            path, changed = self._paths[id(part)], overrides(part, kind, frozenset(("forward",)))
            found = None if changed else self._leaf(part, path, kind, exact=False)
            if found is None:
                return original(part, *args, **kwargs)
            with _replaced(kind, "forward", original):
                return self._call_leaf(found, part, path, args, kwargs)

        with _replaced(kind, "forward", forward):
            yield

    def _custom(self, kind: Any, *args: Any, **kwargs: Any) -> Any:
        """Run the forward of a function with its own backward as if its backward were that of its operations."""
        assert self._recorder is not None
        if kind.__name__ == "CheckpointFunction":  # runs a function again in the backward pass
            return args[0](*args[2:])
        self._recorder.uses_gradients = True
        if kind.setup_context is not torch.autograd.Function.setup_context:
            return kind.forward(*args, **kwargs)
        return kind.forward(_Context(), *args, **kwargs)


class _Context:
    """What a function with its own backward is given: it keeps nothing."""

    needs_input_grad: Sequence[bool] = (False,) * 64

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: None


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Replace an attribute of a class, also one that it inherits."""
    own = name in vars(owner)
    before = vars(owner).get(name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if own:
            setattr(owner, name, before)
        else:
            delattr(owner, name)


def copy_of(module: nn.Module, replaced: Callable[[str, Tensor], Tensor]) -> nn.Module:
    """Return a copy of a module in evaluation mode, with other tensors.

    Args:
        module: The module.
        replaced: Returns the tensor of the copy for the name and the tensor of a parameter or buffer.

    Raises:
        Untraceable: The module cannot be copied.
    """
    memo: dict[int, Any] = {id(one): replaced(name, one) for name, one in named_tensors(module).items()}
    kept = [value for part in module.modules() for value in part.__dict__.values()]
    for value in kept:  # such as attention that an earlier forward pass kept, which deepcopy refuses to copy
        if isinstance(value, Tensor) and value.grad_fn is not None:
            memo[id(value)] = value.detach()
    try:
        return deepcopy(module, memo).eval()
    except Exception as error:  # modules may hold anything
        reason = str(error).strip().partition("\n")[0]
        raise Untraceable(
            f"it cannot be copied ({type(error).__name__}: {reason}); make it fit for deepcopy"
        ) from error


def example_input(shape: Shape, batch: int, dtype: torch.dtype) -> Tensor:
    """Return an empty input on the meta device, (batch, *shape)."""
    return torch.empty(batch, *shape, dtype=dtype, device="meta")

"""A torch module that was written without nasctl as a network, for `Network.from_module`."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from nasctl.errors import NasctlError
from nasctl.networks.exported_program import exported_records
from nasctl.networks.function_names import last_part
from nasctl.networks.module_trace import ModuleTrace, example_input, named_tensors
from nasctl.networks.node import Shape
from nasctl.networks.trace_layouts import BATCH, OTHER_BATCH
from nasctl.networks.trace_reader import TracedLayer, TraceReader
from nasctl.networks.trace_records import Record, Unrecordable, Untraceable
from nasctl.networks.trace_verification import TracedModule, Wired, check_same, with_tensors

N = TypeVar("N", bound=Wired)
Build = Callable[[list[TracedLayer], int], N]  # makes a network of layers and the place of the output's layer


def traced_network(module: nn.Module, shape: Shape, build: Build[N]) -> N:
    """Return a module as a network that computes the same, verified on fresh inputs; each layer is a span.

    Args:
        module: A module that takes one tensor and returns one tensor, both with the batch as first dimension. It is
            neither run nor changed, and no global random number generator is moved.
        shape: Shape of one example.
        build: Makes a network of the layers and the place of the output's layer among them.

    Raises:
        NasctlError: The module is no fixed graph of layers, or the network computes something else.
    """
    return _checked(module, shape, build)[0]


def weights_of_module(module: nn.Module, shape: Shape, build: Build[N]) -> dict[str, Tensor]:
    """Return copies of the weights of a module under the names of its network's module, as a state dict on the CPU.

    Statistics of norms are among them. The arguments and errors are those of `traced_network`.
    """
    _, traced = _checked(module, shape, build)
    state = with_tensors(traced, named_tensors(traced.trace.module)).state_dict()
    return {name: value.detach().cpu().clone() for name, value in state.items()}


def _checked(module: nn.Module, shape: Shape, build: Build[N]) -> tuple[N, TracedModule]:
    """Return the network of a module and its trace; see `traced_network`."""
    if not isinstance(module, nn.Module):
        raise NasctlError(f"cannot make a network of a {type(module).__name__}: it is no torch.nn.Module")
    with _generators_kept(), _one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of the module, which its own use shows
        try:
            return _traced(module, shape, build)
        except Exception as error:  # the module may raise anything when it runs without values
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise NasctlError(f"{type(module).__name__} cannot be made a network: {reason.rstrip('.')}") from error


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute with one thread: modules run on one or two examples, and more threads wait for busy processors."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _traced(module: nn.Module, shape: Shape, build: Build[N]) -> tuple[N, TracedModule]:
    """Trace a module for the type of input that it takes, with the recorder, or else with torch.export."""
    tokens = len(shape) == 1 and any(isinstance(one, nn.Embedding) for one in module.modules())
    dtypes = (torch.int64, torch.float32) if tokens else (torch.float32, torch.int64)
    reason: Exception | None = None
    for dtype in dtypes:
        try:
            return _verified(_recorded(module, shape, dtype), shape, dtype, build)
        except Unrecordable as error:
            try:
                return _verified(_exported(module, shape, dtype), shape, dtype, build)
            except Exception as other:  # torch's exporter raises exceptions of many kinds
                raise error from other
        except Untraceable:
            raise
        except Exception as error:  # such as torch's error that it cannot look up numbers that are no integers
            reason = reason or error
    assert reason is not None
    raise reason


class _Reading(NamedTuple):
    """A module's trace and its reader."""

    trace: ModuleTrace
    reader: TraceReader
    checks_gradients: bool
    recorded: bool


def _recorded(module: nn.Module, shape: Shape, dtype: torch.dtype) -> _Reading:
    trace = ModuleTrace(module)
    first, result = trace.record(example_input(shape, BATCH, dtype))
    second, _ = ModuleTrace(module, like=trace).record(example_input(shape, OTHER_BATCH, dtype))
    if not isinstance(result, Record):
        raise Untraceable("it does not return one tensor; wrap it in a module that does")
    reader = TraceReader(first.records, second.records, result, trace)
    return _Reading(trace, reader, first.uses_gradients, True)


def _exported(module: nn.Module, shape: Shape, dtype: torch.dtype) -> _Reading:
    trace = ModuleTrace(module)
    examples = [torch.zeros(batch, *shape, dtype=dtype) for batch in (BATCH, OTHER_BATCH)]
    (first, result), (second, _) = (exported_records(module, example) for example in examples)
    return _Reading(trace, TraceReader(first, second, result, trace), True, False)


def _verified(reading: _Reading, shape: Shape, dtype: torch.dtype, build: Build[N]) -> tuple[N, TracedModule]:
    """Return the network that a reader finds, and its trace, if it computes what the module computes."""
    trace, reader, checks_gradients, recorded = reading
    steps, output = reader.steps()
    network = build(steps, output)
    vocabulary = _vocabulary(reader.plan.records)
    plan = reader.plan
    traced = TracedModule(trace, network, steps, plan, shape, dtype, vocabulary, checks_gradients, recorded)
    check_same(traced)
    return network, traced


def _vocabulary(records: Sequence[Record]) -> int:
    """Return the number below which integers can be looked up in all tables, as far as the calls tell."""
    sizes = [one.function.num_embeddings for one in records if isinstance(one.function, nn.Embedding)]
    for one in records:
        if one.name == "nn.functional.embedding" and isinstance(one.args[1], Record) and one.args[1].shape:
            sizes.append(one.args[1].shape[0])
        if last_part(one.name) == "one_hot":
            sizes += [size for size in (*one.args[1:], *one.options.values()) if isinstance(size, int) and size > 0]
    return min(sizes, default=64)


@contextmanager
def _generators_kept() -> Iterator[None]:
    """Restore the states of the global random number generators, from which the module may draw."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002 - modules may use it
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])

"""The comparison of a traced network with its module, on fresh inputs and two batch sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from nasctl.networks.executable import Executable, construct
from nasctl.networks.function_calls import tensor_of
from nasctl.networks.module_trace import ModuleTrace, named_tensors
from nasctl.networks.node import Node, Shape
from nasctl.networks.torch_layers import Function
from nasctl.networks.trace_layouts import Plan
from nasctl.networks.trace_reader import TracedLayer
from nasctl.networks.trace_records import FOREIGN, Record, Unrecordable, Untraceable

COMPARED_BATCHES = (1, 3, 4, 5)  # examples of the comparisons: the first two with which the module runs
COMPARISONS = 2
TOLERANCE = 1e-5  # difference allowed, relative to the largest value; orders of summation differ by less
ACCUMULATED = 1e-3  # the same for the output if every layer alone is within `TOLERANCE`
GRADIENTS = 1e-3  # the same for gradients
NOISE = 0.1  # standard deviation of what is added to parameters that are all one number, such as 0


class Wired(Protocol):
    """Layers and their wiring, such as a network."""

    @property
    def nodes(self) -> Sequence[Node]:
        """The layers, in an order in which they can run."""
        ...

    @property
    def output(self) -> int:
        """Position of the node whose value is the output."""
        ...


@dataclass(frozen=True)
class TracedModule:
    """A module, the network that was traced from it, and how they belong together."""

    trace: ModuleTrace
    network: Wired
    steps: Sequence[TracedLayer]
    plan: Plan
    shape: Shape
    dtype: torch.dtype  # of the input
    vocabulary: int  # numbers below which integer inputs are drawn
    checks_gradients: bool
    recorded: bool = True  # whether the trace is a record of calls, as that of a run with values is


def check_same(traced: TracedModule) -> None:
    """Check that a traced network computes what its module computes, for the same weights.

    The module's copy shares its parameters. Parameters that are all one number, and statistics of norms, get noise in
    both, because a branch times 0 would not be compared. Inputs are drawn from a generator of this function.

    Raises:
        Untraceable: The outputs differ; the message names the first layer that differs.
    """
    generator = torch.Generator().manual_seed(0)
    original = ModuleTrace(traced.trace.module, _Comparable(generator, _trained(traced)).of, traced.trace)
    made = with_tensors(traced, named_tensors(original.copy))
    done, failure = 0, ""
    for batch in COMPARED_BATCHES:
        x, expected, failure = _run_original(original, traced, batch, generator)
        if x is None:
            continue
        with torch.no_grad():
            found = made(x.clone())
        if difference(found, expected, TOLERANCE):
            _explain(traced, original, made, x, difference(found, expected, ACCUMULATED))
        if traced.checks_gradients and not done:
            _check_gradients(original.copy, made, x)
        done += 1
        if done == COMPARISONS:
            return
    raise Untraceable(f"it fails when it runs on random inputs: {failure}")


def _trained(traced: TracedModule) -> set[str]:
    """Return the names of the module's tensors that are the network's own."""
    return {use.original for step in traced.steps for use in step.uses}


class _Comparable:
    """Tensors of a module with which every branch of it computes something."""

    def __init__(self, generator: torch.Generator, trained: set[str]) -> None:
        self._generator, self._trained = generator, trained

    def of(self, name: str, tensor: Tensor) -> Tensor:
        """Return the tensor that stands for one of the module: itself if it is a parameter whose values differ."""
        value = tensor.detach()
        if value.is_meta:
            value = self._noise(value)
        if isinstance(tensor, nn.Parameter):
            constant = value.numel() > 0 and bool((value == value.flatten()[0]).all())
            if not constant and not tensor.is_meta and tensor.device.type == "cpu":
                return tensor
            more = value.cpu() + self._noise(value) if constant and name in self._trained else value.cpu()
            return nn.Parameter(more, requires_grad=tensor.requires_grad)
        if name in self._trained and name.endswith("running_mean"):
            return value.cpu() + self._noise(value)
        if name in self._trained and name.endswith("running_var"):
            return value.cpu().abs() * (1 + self._noise(value)).abs() + (NOISE if tensor.is_meta else 0)
        return value.cpu().clone()

    def _noise(self, like: Tensor) -> Tensor:
        if not like.is_floating_point():
            return torch.zeros(like.shape, dtype=like.dtype)
        return (NOISE * torch.randn(like.shape, generator=self._generator)).to(like.dtype)


def with_tensors(traced: TracedModule, tensors: Mapping[str, Tensor]) -> nn.Module:
    """Return the network's module with tensors of the traced module, without a copy of them.

    Args:
        traced: The network.
        tensors: The module's parameters and buffers by their names.
    """
    parts = []
    for node, step in zip(traced.network.nodes, traced.steps, strict=True):
        with torch.device("meta"):
            part = construct(node.layer.module(*node.in_shapes))
        if isinstance(step.layer, Function):
            for name, constant in step.layer.constants:
                part._buffers[name] = tensor_of(constant)
        for own, original in step.uses:
            path, _, name = own.rpartition(".")
            setattr(part.get_submodule(path), name, tensors[original])
        parts.append(part)
    return Executable(traced.network.nodes, traced.network.output, parts).eval()


def _run_original(
    original: ModuleTrace, traced: TracedModule, batch: int, generator: torch.Generator
) -> tuple[Tensor | None, Tensor, str]:
    """Return inputs with which the module runs, its output, and the reason if there are none."""
    failure = ""
    for x in _inputs(traced, batch, generator):
        try:
            with torch.no_grad():
                return x, original.copy(x.clone()), ""
        except Exception as error:  # a module may raise anything
            failure = str(error).strip().partition("\n")[0] or type(error).__name__
    return None, torch.empty(0), failure


def _inputs(traced: TracedModule, batch: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield random inputs, (batch, *shape), of several kinds, for modules that fail for some numbers."""
    size = (batch, *traced.shape)
    if traced.dtype.is_floating_point:
        yield torch.randn(size, generator=generator)
        yield torch.rand(size, generator=generator)
        yield torch.randint(2, size, generator=generator).float()
        return
    vocabulary = traced.vocabulary
    while vocabulary:
        yield torch.randint(vocabulary, size, generator=generator)
        vocabulary //= 2


def difference(found: Tensor, expected: Tensor, tolerance: float) -> str:
    """Return how a tensor differs from another, or an empty text if it equals it up to a relative tolerance."""
    if not isinstance(expected, Tensor):
        return f"the module returns a {type(expected).__name__} when it runs with values"
    if found.shape != expected.shape or found.dtype != expected.dtype:
        sizes = f"{tuple(found.shape)} of {found.dtype} instead of {tuple(expected.shape)} of {expected.dtype}"
        return f"its output is {sizes}"
    if not (expected.is_floating_point() or expected.is_complex()):
        return "" if torch.equal(found, expected) else "integers or truth values differ"
    finite = expected.isfinite() & found.isfinite()
    one, other = (torch.where(finite, 0, value).nan_to_num(1, 2, 3) for value in (found, expected))
    if not torch.equal(one, other):
        return "NaN or infinite values differ"
    if not bool(finite.any()):
        return ""
    scale = float(expected[finite].abs().max())
    largest = float((found - expected)[finite].abs().max())
    return "" if largest <= tolerance * scale else f"values of up to {scale:.3g} differ by up to {largest:.3g}"


def _explain(traced: TracedModule, original: ModuleTrace, made: nn.Module, x: Tensor, differs: str) -> None:
    """Raise an error that names the first layer that differs, unless all differences are of rounding."""
    batch = f"with {len(x)} {'example' if len(x) == 1 else 'examples'}"
    if not traced.recorded:
        if differs:
            raise Untraceable(f"{batch} the network that torch.export finds computes something else: {differs}")
        return
    try:
        recorder, _ = original.record(x.clone())
    except Untraceable as error:  # a value that torch computed unseen is taken for a constant
        raise Unrecordable(FOREIGN) from error
    records = traced.plan.records
    for one, other in zip(records, recorder.records, strict=False):
        if other.kind == "tensor" and not other.name and one.kind != "tensor":
            raise Unrecordable(FOREIGN)
        if (one.kind, one.name) != (other.kind, other.name):
            place = _place(other)
            raise Untraceable(
                f"{batch} and values it takes another path at {place} than in the trace; make the path depend on the "
                "constructor and on the shape of one example only"
            )
    values = {one: recorder.values[other] for one, other in zip(records, recorder.records, strict=False)
              if other in recorder.values}  # fmt: skip
    for step, part in zip(traced.steps, _parts(made, traced), strict=True):
        if step.value not in values:
            continue
        inputs = [x if i < 0 else _arranged(traced, traced.steps[i].value, values) for i in step.inputs]
        if any(one is None for one in inputs):
            continue
        with torch.no_grad():
            found = part(*inputs)
        expected = _arranged(traced, step.value, values)
        reason = "" if expected is None else difference(found, expected, TOLERANCE)
        if reason:
            raise Untraceable(
                f"{batch} the layer {step.name} computes something else than the module: {reason}; make its forward "
                "the same function of one example for every batch and call"
            )
    if differs or len(records) != len(recorder.records):
        reason = differs or "it makes other calls"
        raise Untraceable(
            f"{batch} the network computes something else than the module: {reason}; make its forward the same "
            "function of one example for every batch and call"
        )


def _parts(made: nn.Module, traced: TracedModule) -> list[nn.Module]:
    names = [node.module_of or node.name for node in traced.network.nodes]
    return [made.get_submodule(name.replace(".", "_")) for name in names]


def _arranged(traced: TracedModule, record: Record, values: Mapping[Record, Tensor]) -> Tensor | None:
    """Return a value of the module with the batch in front, as the network has it; None if it is joined of parts."""
    if record not in values:
        return None
    value, layout = values[record], traced.plan.layout(record)
    assert layout is not None
    if layout.dim is None:
        return None
    value = value.movedim(layout.dim, 0)
    if layout.times > 1:
        value = value.reshape(-1, layout.times, *value.shape[1:])
    return value


def _place(record: Record) -> str:
    where = record.name if record.kind in ("module", "tensor") else f"{record.path}.{record.name.strip('.')}".strip(".")
    return where or record.kind


def _check_gradients(original: nn.Module, made: nn.Module, x: Tensor) -> None:
    """Check that gradients agree, for modules that set gradients otherwise than by differentiating their functions."""
    weights = [one for one in made.parameters() if one.requires_grad]
    found: list[list[Tensor | None]] = []
    for module in (original, made):
        with torch.enable_grad():
            given = x.clone().requires_grad_(x.is_floating_point())
            wanted = [*([given] if given.requires_grad else []), *weights]
            out = module(given)
            if not wanted or not out.requires_grad:
                found.append([None] * len(wanted))
                continue
            towards = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view(out.shape)
            found.append([*torch.autograd.grad(out, wanted, towards, allow_unused=True)])
    for one, other in zip(*found, strict=True):
        a, b = (torch.zeros(()) if g is None else g for g in (one, other))
        if difference((b + torch.zeros_like(a)), (a + torch.zeros_like(b)), GRADIENTS):
            raise Untraceable(
                "its gradients are not those of the functions that it calls, through torch.no_grad or a custom "
                "autograd function; write it with functions of torch"
            )

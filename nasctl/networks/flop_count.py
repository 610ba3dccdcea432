"""Multiply-accumulates by two independent counters, fvcore and torch's own, compared with nasctl's count."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from nasctl.errors import NasctlError
from nasctl.networks.operator_macs import RECURRENT_LAYERS
from nasctl.networks.products import BATCHES, SEVERAL, ProductCount, ProductCounter, count_products

# Operators that nasctl counts whole and torch's counter by their parts, with the same sum.
DECOMPOSED_BY_TORCH = (
    *RECURRENT_LAYERS,
    SEVERAL,
    "aten::linear",
    "aten::scaled_dot_product_attention",
    "aten::_convolution_mode",
    "aten::_scaled_dot_product_attention_math",
)
# Operators that nasctl counts too. fvcore also counts norms, pools and resizing.
PRODUCTS = ("conv", "linear", "addmm", "mm", "bmm", "matmul", "einsum")


@dataclass(frozen=True)
class FlopCount:
    """fvcore's count for one example. Convolutions and matrix products count their multiply-accumulates."""

    operators: Mapping[str, int]  # counts by fvcore's name of the operator
    unsupported: frozenset[str] = frozenset()  # operators that fvcore does not count, such as "aten::lstm"

    @property
    def macs(self) -> int:
        """Multiply-accumulates of convolutions and matrix products, as `Network.macs` counts them."""
        return sum(self.operators.get(name, 0) for name in PRODUCTS)

    @property
    def total(self) -> int:
        """The sum over all operators, which fvcore calls FLOPs."""
        return sum(self.operators.values())


def count_flops(module: nn.Module, example: Tensor) -> FlopCount:
    """Count the FLOPs of a module with fvcore.

    Args:
        module: The module, in evaluation mode.
        example: One example, (1, ...).

    Raises:
        NasctlError: fvcore cannot trace the module.
    """
    before = logging.getLogger("fvcore").level
    logging.getLogger("fvcore").setLevel(logging.ERROR)  # fvcore logs every operator that it does not count
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=DeprecationWarning)  # fvcore still uses torch.jit
            from fvcore.nn import FlopCountAnalysis

            analysis = FlopCountAnalysis(module, example)
            found, unsupported = analysis.by_operator(), analysis.unsupported_ops()
    except Exception as error:  # torch's tracer raises exceptions of many kinds
        raise NasctlError(f"fvcore cannot trace this network ({type(error).__name__}); trust nasctl's count") from error
    finally:
        logging.getLogger("fvcore").setLevel(before)
    return FlopCount(
        {name: int(number) for name, number in found.items() if number},
        frozenset(name.rstrip("_") for name in unsupported),
    )


@dataclass(frozen=True)
class CountDifference:
    """MACs for one example that another counter lacks, or has too many if below zero, and why."""

    counter: str  # "fvcore", "torch", or "the dispatched operators" of the module
    macs: int  # nasctl's count less the other count
    reason: str  # empty if the difference is not explained

    def clause(self) -> str:
        """Return the difference as a part of a sentence."""
        size = f"{abs(self.macs):,} {'fewer' if self.macs > 0 else 'more'} by {self.counter}"
        return f"{size}, {self.reason}" if self.reason else f"{size}, which is not explained"


@dataclass(frozen=True)
class MacComparison:
    """MACs of one network for one example by nasctl, torch's `FlopCounterMode` and fvcore."""

    macs: int  # by nasctl, from the network's description
    operators: ProductCount  # by nasctl, from the operators that the module dispatches
    torch: int | None  # None if torch's counter fails
    fvcore: FlopCount | None  # None if fvcore cannot trace the module
    failures: tuple[str, ...]  # why a counter has no count
    differences: tuple[CountDifference, ...]

    @property
    def explained(self) -> bool:
        """Return whether every difference between the counts has a reason."""
        return all(one.reason for one in self.differences)

    def sentence(self) -> str:
        """Return one line with the counts, their differences, and the operators that only fvcore counts."""
        counts = [f"{self.macs:,} by nasctl", *([] if self.torch is None else [f"{self.torch:,} by torch"])]
        if self.fvcore is not None:
            known = [f"{name} {self.fvcore.operators[name]:,}" for name in PRODUCTS if name in self.fvcore.operators]
            counts.append(f"{self.fvcore.macs:,} by fvcore" + (f" ({' + '.join(known)})" if known else ""))
        if self.differences:
            counts.append(f"not the same: {'; '.join(one.clause() for one in self.differences)}")
        elif len(counts) > 1:
            counts.append("the same")
        others = " and ".join(name for name in self.fvcore.operators if name not in PRODUCTS) if self.fvcore else ""
        told = [f"fvcore's total of {self.fvcore.total:,} also counts {others}"] if self.fvcore and others else []
        return "; ".join((f"MACs: {', '.join(counts)}", *told, *self.failures))


def compare_counts(module: nn.Module, example: Tensor, macs: int | None = None) -> MacComparison:
    """Count the MACs of a module with three counters and explain how the counts differ.

    Args:
        module: The module, in evaluation mode.
        example: One example, (1, ...), on the module's device.
        macs: MACs by nasctl's description of the network. By default those of the operators that the module dispatches.

    Raises:
        NasctlError: nasctl cannot count an operator of the module.
    """
    try:
        copied, one = _on_meta(module), example.to("meta")  # where passes compute no values
        operators = count_products(copied, (one,))
    except (RuntimeError, NotImplementedError):  # the module makes tensors on a device of its own, or reads values
        copied, one = deepcopy(module), example
        operators = count_products(copied, (one,))
    macs = operators.macs if macs is None else macs
    differences = (
        [] if macs == operators.macs else [CountDifference("the dispatched operators", macs - operators.macs, "")]
    )
    found: dict[str, int] | None = None
    fvcore: FlopCount | None = None
    failures = []
    try:
        found = _torch_macs(copied, one)
        differences += _differences_from_torch(operators, found)
    except Exception as error:  # its formulas check their shapes with assert
        failures.append(f"torch's counter cannot count this network ({type(error).__name__})")
    try:
        fvcore = count_flops(module, example)
        differences += _differences_from_fvcore(operators, fvcore, copied, one)
    except NasctlError as error:
        failures.append(str(error))
    total = None if found is None else sum(found.values())
    return MacComparison(macs, operators, total, fvcore, tuple(failures), tuple(differences))


def _on_meta(module: nn.Module) -> nn.Module:
    """Return a copy of a module on the meta device, without copying its values."""
    parts: dict[int, Any] = {id(one): nn.Parameter(one.to("meta"), one.requires_grad) for one in module.parameters()}
    parts |= {id(one): one.to("meta") for one in module.buffers()}
    return deepcopy(module, parts).to("meta")


def _differences_from_torch(operators: ProductCount, found: Mapping[str, int]) -> list[CountDifference]:
    """Return one difference for each operator without a formula in torch's registry, and the rest."""
    unseen = {name: macs for name, macs in operators.by_operator().items() if not _in_registry(name)}
    rest = operators.macs - sum(unseen.values()) - sum(found.values())
    reasons = [CountDifference("torch", macs, f"which does not count {_short(name)}") for name, macs in unseen.items()]
    return [*reasons, *([CountDifference("torch", rest, "")] if rest else [])]


def _differences_from_fvcore(
    operators: ProductCount, fvcore: FlopCount, module: nn.Module, example: Tensor
) -> list[CountDifference]:
    """Return one difference for each operator that fvcore lacks or counts by another rule, and the rest."""
    unseen: dict[str, int] = {}
    for product in operators.products:
        names = [name for name in (product.inside, product.operator) if name in fvcore.unsupported]
        if names:
            unseen[names[0]] = unseen.get(names[0], 0) + product.macs
    found = [CountDifference("fvcore", macs, f"which does not count {_short(name)}") for name, macs in unseen.items()]
    other = operators.by_called().get("aten::einsum", 0) - fvcore.operators.get("einsum", 0)
    if other:
        reason = (
            "which takes einsum in the cheapest order, counts half of a product without a sum, and rounds to 4 digits"
        )
        found.append(CountDifference("fvcore", other, reason))
    rest = operators.macs - sum(unseen.values()) - other - fvcore.macs
    unread = unread_macs(module, example) if rest > 0 else 0
    if rest:
        reason = "which leaves out what the output does not read" if rest == unread else ""
        found.append(CountDifference("fvcore", rest, reason))
    return found


def _in_registry(name: str) -> bool:
    """Return whether torch's counter has a formula for an operator or for each of its parts."""
    namespace, _, plain = name.partition("::")
    return name in DECOMPOSED_BY_TORCH or getattr(getattr(torch.ops, namespace), plain, None) in flop_registry


def _short(name: str) -> str:
    return name.removeprefix("aten::").strip("_")


def _torch_macs(module: nn.Module, example: Tensor) -> dict[str, int]:
    """Return half of the FLOPs of torch's counter for one example, by operator.

    As in `count_products`, counts of two batches are extrapolated to one example.
    """
    found = []
    for batch in BATCHES[:2]:
        # With gradients torch dispatches the parts of attention, for which the counter has formulas. With opt_einsum
        # the order of products would depend on the installed packages.
        order = torch.backends.opt_einsum.flags(enabled=False)
        with order, torch.enable_grad(), FlopCounterMode(display=False) as counter:
            module(example.repeat(batch, *(1 for _ in example.shape[1:])))
        found.append({str(name): flops // 2 for name, flops in counter.get_flop_counts().get("Global", {}).items()})
    first, second = found
    return {name: 2 * first.get(name, 0) - second.get(name, 0) for name in {**first, **second}}


def unread_macs(module: nn.Module, example: Tensor) -> int:
    """Return the MACs for one example of products that the module's output does not read.

    Args:
        module: The module, in evaluation mode, on the meta device.
        example: One example, (1, ...), on the meta device.
    """
    found = []
    for batch in BATCHES[:2]:
        counter = _ReadCounter()
        with torch.inference_mode():
            copies = example.repeat(batch, *(1 for _ in example.shape[1:]))
            with counter:
                out = module(copies)
        found.append(counter.unread(out))
    return 2 * found[0] - found[1]


class _ReadCounter(ProductCounter):  # type: ignore[no-untyped-call]
    """A counter that knows which products a later operator reads."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: list[tuple[list[Tensor], list[Tensor], int]] = []  # what each operator reads and writes; its MACs

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        calls, products = len(self._calls), len(self.products)
        out = super().__torch_dispatch__(func, types, args, kwargs)
        if len(self._calls) == calls:  # otherwise the parts of a composite operator are noted
            macs = sum(product.macs for product in self.products[products:])
            self._calls.append((_tensors((args, kwargs)), _tensors(out), macs))
        return out

    def unread(self, out: Any) -> int:
        """Return the MACs, for all examples, of products on which a value does not depend."""
        read, left = set(map(_storage, _tensors(out))), 0
        for inputs, outputs, macs in reversed(self._calls):
            if read.isdisjoint(map(_storage, outputs)):
                left += macs
            else:
                read.update(map(_storage, inputs))
        return left


def _tensors(values: Any) -> list[Tensor]:
    return [one for one in tree_leaves(values) if isinstance(one, Tensor)]


def _storage(tensor: Tensor) -> int:
    """Return a number that views of one tensor share. It is unique while the tensors are alive."""
    return int(tensor.untyped_storage()._cdata)

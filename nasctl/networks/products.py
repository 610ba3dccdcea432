"""Multiply-accumulates (MACs) of a module for one example, counted from the operators that torch dispatches.

A multiply-accumulate is one multiplication whose result is added to others of one sum. Counted are products of matrices
and vectors, convolutions, attention, recurrent layers, bilinear forms and `einsum`, in every form that torch has, and
the Euclidean distances of `cdist`. Products with a mask, also a causal one, count in full, because kernels differ in
the products that they leave out. Products of several tensors count in the order in which torch evaluates them, for
`einsum` without opt_einsum: from left to right.

Not counted, as in fvcore and in torch's `FlopCounterMode`, are elementwise multiplications (also where a later operator
sums the results), products without a sum (`outer`, `kron`, `einsum("i,j->ij")`), norms, pools, resizing, lookups and
Fourier transforms. One multiplication of complex numbers counts as one. An operator that may have products and that
nasctl does not know is refused.

A product that does not depend on the examples, such as a weight that is computed from parameters, runs once in a
forward pass and counts in full. All other products count for one example.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from nasctl.errors import NasctlError
from nasctl.networks.operator_macs import (
    FORMULAS,
    OUTPUTS,
    base_name,
    has_registered_formula,
    named,
    registered_macs,
)
from nasctl.networks.product_free_operators import is_product_free

BATCHES = (2, 3, 4)  # examples of the passes; with one example torch may take other paths. The third is rarely needed.
SEVERAL = "several operators"  # stands for the operators of a module that calls different ones for different batches


class Product(NamedTuple):
    """One call of an operator that multiplies matrices."""

    operator: str  # "aten::bmm"
    inside: str  # the operator that the module called: "aten::einsum", or the same
    macs: int  # of all examples


@dataclass(frozen=True)
class ProductCount:
    """MACs of a module for one example."""

    products: tuple[Product, ...]  # `macs` is for one example
    constant: int  # MACs of products that do not depend on the examples, which are part of `macs`
    out: Any  # the module's output for BATCHES[0] examples

    @property
    def macs(self) -> int:
        """The sum over all products."""
        return sum(product.macs for product in self.products)

    def by_operator(self) -> dict[str, int]:
        """Return the MACs by the operators that torch evaluates, such as "aten::bmm"."""
        return _summed((product.operator, product.macs) for product in self.products)

    def by_called(self) -> dict[str, int]:
        """Return the MACs by the operators that the module calls, such as "aten::einsum"."""
        return _summed((product.inside, product.macs) for product in self.products)


def count_macs(module: nn.Module, inputs: Sequence[Tensor]) -> int:
    """Return the MACs of a module for one example; `count_products` has the arguments and the errors."""
    return count_products(module, inputs).macs


def count_products(module: nn.Module, inputs: Sequence[Tensor]) -> ProductCount:
    """Count the MACs of a module for one example, with two passes whose batches differ.

    MACs that are the same in both passes do not depend on the examples. The others are proportional to the batch.

    Args:
        module: The module, in evaluation mode. On torch's meta device the passes compute no values. A module that keeps
            tensors of a forward pass should be a copy: it keeps tensors of these passes.
        inputs: Its inputs, each (B, ...) with B of at least 1, on the module's device. Only shapes, types and the first
            example are used.

    Raises:
        NasctlError: An operator is called that may have products and that nasctl does not know, or the products are not
            proportional to the batch because examples are multiplied with each other.
    """
    passes = [run_counted(module, inputs, batch) for batch in BATCHES[:2]]
    if not _equal_calls([products for _, products in passes]):  # the first pass may have filled a cache
        passes[0] = run_counted(module, inputs, BATCHES[0])
    counts = _aligned([products for _, products in passes])
    if any(2 * more.macs != 3 * less.macs and more.macs != less.macs for less, more in counts):
        passes.append(run_counted(module, inputs, BATCHES[2]))
        counts = _aligned([products for _, products in passes])
    found, constants = [], 0
    for calls in counts:
        steps = [more.macs - less.macs for less, more in pairwise(calls)]
        constant = calls[0].macs - BATCHES[0] * steps[0]
        if len(set(steps)) > 1 or steps[0] < 0 or constant < 0:
            numbers = [f"{call.macs:,} for {batch}" for call, batch in zip(calls, BATCHES, strict=False)]
            raise NasctlError(
                f"Cannot count the multiply-accumulates of {calls[0].inside} for one example: they are"
                f" {', '.join(numbers)} examples, so examples are multiplied with each other. Make each output depend"
                " on one example"
            )
        found.append(calls[0]._replace(macs=steps[0] + constant))
        constants += constant
    return ProductCount(tuple(found), constants, passes[0][0])


def run_counted(module: nn.Module, inputs: Sequence[Tensor], batch: int) -> tuple[Any, list[Product]]:
    """Run a module on a batch and return its output and its products.

    Args:
        module: The module, in evaluation mode.
        inputs: Its inputs, each (B, ...).
        batch: Examples of the pass; all are copies of the first example.
    """
    counter = ProductCounter()
    # In inference mode torch dispatches composite operators whole, such as a recurrent layer.
    with torch.inference_mode():
        copies = [one[:1].repeat(batch, *(1 for _ in one.shape[1:])) for one in inputs]
        with counter:
            out = module(*copies)
    return out, counter.products


class ProductCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A context in which calls of torch's operators are noted with their MACs.

    Raises:
        NasctlError: In the context an operator is called that may have products and that nasctl does not know.
    """

    supports_higher_order_operators = True

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return False: torch would import its compiler, which takes seconds, to exempt this class from compilation."""
        return False

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.products: list[Product] = []
        self._callers: list[str] = []  # composite operators that are being decomposed, the outermost first

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        options = dict(kwargs or {})
        if not isinstance(func, torch._ops.OpOverload):  # a higher-order operator, such as a condition
            return self._registered(func, str(func), args, options)
        name = base_name(func)
        if name in FORMULAS:
            arguments = named(func, args, options)
            out = OUTPUTS[name](arguments) if name in OUTPUTS else func(*args, **options)
            self._note(name, FORMULAS[name](arguments, out))
            return out
        if name == "aten::einsum":
            options.pop("path", None)  # the order of opt_einsum, which only some machines have
        self._callers.append(name)
        try:
            with self:
                out = func.decompose(*args, **options)
        finally:
            self._callers.pop()
        if out is not NotImplemented:
            return out
        return func(*args, **options) if is_product_free(func) else self._registered(func, name, args, options)

    def _registered(self, func: Any, name: str, args: Sequence[Any], options: Mapping[str, Any]) -> Any:
        """Run an operator that only torch's registry of formulas may know."""
        if not has_registered_formula(func):
            raise NasctlError(
                f'Cannot count the multiply-accumulates of "{name}": nasctl has no formula for this operator. Write the'
                " layer with matrix products or convolutions of torch, or register the operator's FLOPs with"
                " torch.utils.flop_counter.register_flop_formula"
            )
        out = func(*args, **options)
        self._note(name, registered_macs(func, args, options, out))
        return out

    def _note(self, name: str, macs: int) -> None:
        if macs:
            self.products.append(Product(name, self._callers[0] if self._callers else name, macs))


def _aligned(passes: Sequence[Sequence[Product]]) -> list[tuple[Product, ...]]:
    """Return the same product in all passes, or one sum of all products if the passes call different operators."""
    if _equal_calls(passes):
        return list(zip(*passes, strict=True))
    return [tuple(Product(SEVERAL, SEVERAL, sum(one.macs for one in products)) for products in passes)]


def _equal_calls(passes: Sequence[Sequence[Product]]) -> bool:
    """Return whether all passes call the same operators in the same order."""
    return len({tuple(product[:2] for product in products) for products in passes}) == 1


def _summed(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    found: dict[str, int] = defaultdict(int)
    for key, number in pairs:
        found[key] += number
    return dict(found)

"""Multiply-accumulates counted by fvcore, which traces the module: an independent check of nasctl's own count."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from nasctl.errors import NasctlError

# Operators that nasctl counts too. fvcore also counts norms, pools and resizing.
PRODUCTS = ("conv", "linear", "addmm", "mm", "bmm", "matmul", "einsum")


@dataclass(frozen=True)
class FlopCount:
    """fvcore's count for one example. Convolutions and matrix products count their multiply-accumulates."""

    operators: Mapping[str, int]  # counts by fvcore's name of the operator

    @property
    def macs(self) -> int:
        """Multiply-accumulates of convolutions and matrix products, as `Network.macs` counts them."""
        return sum(self.operators.get(name, 0) for name in PRODUCTS)

    @property
    def total(self) -> int:
        """The sum over all operators, which fvcore calls FLOPs."""
        return sum(self.operators.values())

    def compared(self, macs: int) -> str:
        """Return one line that compares the count with nasctl's `macs` and names operators that only fvcore counts."""
        known = [f"{name} {self.operators[name]:,}" for name in PRODUCTS if name in self.operators]
        verdict = "the same" if self.macs == macs else f"not the same: {macs - self.macs:+,} by nasctl"
        verdict += ", which counts what nothing reads too" if macs > self.macs else ""
        others = " and ".join(name for name in self.operators if name not in PRODUCTS)
        convention = f"; its total of {self.total:,} also counts {others}" if others else ""
        return f"MACs: {macs:,} by nasctl, {self.macs:,} by fvcore ({' + '.join(known)}), {verdict}{convention}"


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

            found = FlopCountAnalysis(module, example).by_operator()
    except Exception as error:  # torch's tracer raises exceptions of many kinds
        raise NasctlError(f"fvcore cannot trace this network ({type(error).__name__}); trust nasctl's count") from error
    finally:
        logging.getLogger("fvcore").setLevel(before)
    return FlopCount({name: int(number) for name, number in found.items() if number})

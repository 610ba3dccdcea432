"""A second opinion about multiply-accumulates: fvcore counts them by tracing the module."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from nasctl.errors import NasctlError

# Operators of fvcore that nasctl counts too; what else fvcore counts is norms, pools and resizing.
PRODUCTS = ("conv", "linear", "addmm", "mm", "bmm", "matmul", "einsum")


@dataclass(frozen=True)
class Count:
    """What fvcore counted for one example."""

    operators: Mapping[str, int]  # by fvcore's name of the operator

    @property
    def macs(self) -> int:
        """What `Network.macs` counts: convolutions and matrix products."""
        return sum(self.operators.get(name, 0) for name in PRODUCTS)

    @property
    def total(self) -> int:
        """What fvcore calls FLOPs."""
        return sum(self.operators.values())

    def compared(self, macs: int) -> str:
        """One line that says whether fvcore agrees with nasctl's `macs`, and where its conventions differ."""
        known = [f"{name} {self.operators[name]:,}" for name in PRODUCTS if name in self.operators]
        verdict = "the same" if self.macs == macs else f"not the same: {macs - self.macs:+,} by nasctl"
        verdict += ", which counts what nothing reads too" if macs > self.macs else ""
        others = " and ".join(name for name in self.operators if name not in PRODUCTS)
        convention = f"; its total of {self.total:,} also counts {others}" if others else ""
        return f"MACs: {macs:,} by nasctl, {self.macs:,} by fvcore ({' + '.join(known)}), {verdict}{convention}"


def counted(module: nn.Module, example: Tensor) -> Count:
    """What fvcore counts when the module, in evaluation mode, sees one example, (1, ...).

    Raises:
        NasctlError: Fvcore cannot trace the module.
    """
    before = logging.getLogger("fvcore").level
    logging.getLogger("fvcore").setLevel(logging.ERROR)  # it names every operator that it does not count
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=DeprecationWarning)  # it still scripts and traces
            from fvcore.nn import FlopCountAnalysis

            found = FlopCountAnalysis(module, example).by_operator()
    except Exception as error:  # it runs torch's tracer, which raises all kinds
        raise NasctlError(f"fvcore cannot trace this network ({type(error).__name__}); trust nasctl's count") from error
    finally:
        logging.getLogger("fvcore").setLevel(before)
    return Count({name: int(number) for name, number in found.items() if number})

"""A mode that tells whether a function of torch runs products, by the operators that MACs count."""

from __future__ import annotations

from typing import Any

from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from nasctl.errors import NasctlError
from nasctl.networks.operator_macs import FORMULAS, base_name, has_registered_formula, named, registered_macs


class ProductWatch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A mode whose `found` becomes true when an operator with multiply-accumulates runs.

    Metrics of weights ask it about functions whose names say nothing, so that they see the weights that MACs count.
    """

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = kwargs or {}
        out = func(*args, **options)
        if not self.found:
            self.found = _has_macs(func, args, options, out)
        return out


def _has_macs(func: Any, args: Any, options: Any, out: Any) -> bool:
    """Return whether a call of an operator has multiply-accumulates."""
    formula = FORMULAS.get(base_name(func)) if isinstance(func, OpOverload) else None
    if formula is None:
        return has_registered_formula(func) and registered_macs(func, args, options, out) > 0
    try:
        return formula(named(func, args, options), out) > 0
    except NasctlError:  # a product whose number of MACs depends on values
        return True

"""Constraints, as a user types them: "latency<=20", "params<=5M", or "macs<=60%" of the space's maximum."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from nasctl.errors import NasctlError
from nasctl.registry.aliases import alias_of
from nasctl.system.wording import UNITS as PREFIXED
from nasctl.system.wording import prefix_power, unit_text

FORM = re.compile(
    r"\s*([\w.@/:=-]*?[\w.@/:-])\s*(<=?|>=?)\s*([-+]?[\d.]+(?:e[-+]?\d+)?)\s*([a-z\u00b5\u03bc%]*)\s*", re.IGNORECASE
)

PREFIXES = (("k", "thousand"), ("M", "million"))
FACTORS = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}

# Units that a bound may be written in by the unit of its objective, in lower case, each in the objective's unit.
UNITS: Mapping[str, Mapping[str, float]] = {
    "ms": {"s": 1e3, "ms": 1.0, "us": 1e-3, "\u00b5s": 1e-3, "\u03bcs": 1e-3},  # micro sign, and Greek mu
    "bytes": {"b": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 2.0**10, "mib": 2.0**20, "gib": 2.0**30},
    "MACs": {"macs": 1.0, "kmacs": 1e3, "mmacs": 1e6, "gmacs": 1e9},
    "parameters": {"params": 1.0, "parameters": 1.0},
}
EXAMPLES = {"ms": "10ms or 0.01s", "bytes": "4MB or 500KiB", "MACs": "300M", "parameters": "5M"}

FAILED = 1e9  # the violation of a constraint whose quantity could not be measured


@dataclass(frozen=True, slots=True)
class Constraint:
    """A bound on an objective; the bound itself is allowed."""

    name: str
    upper: bool  # True for an upper bound, False for a lower bound
    bound: float  # in the natural unit of the objective

    def violation(self, values: Mapping[str, float]) -> float:
        """Return the excess over the bound, relative to the bound: above 0 if the constraint is violated, else 0."""
        if self.name not in values:
            return FAILED
        excess = values[self.name] - self.bound if self.upper else self.bound - values[self.name]
        return max(0.0, excess / (abs(self.bound) or 1.0))

    def __str__(self) -> str:
        """Return the constraint with all digits, as the record of a run has it."""
        return f"{self.name}{self._sign}{repr(self.bound).removesuffix('.0')}"

    def text(self, unit: str) -> str:
        """Return the constraint as people write it, with six digits: "params<=5M".

        Args:
            unit: Unit of the objective, such as "parameters"; "" if it has none.
        """
        kind = unit.partition(",")[0]
        if kind in PREFIXED:
            power = prefix_power(self.bound)
            return f"{self.name}{self._sign}{self.bound / 1000**power:.6g}{unit_text(power, kind)}"
        return f"{self.name}{self._sign}{self.bound:.6g}" if abs(self.bound) < 1e6 else str(self)

    @property
    def _sign(self) -> str:
        return "<=" if self.upper else ">="


def parse(
    text: str, known: Sequence[str], maximum: Callable[[str], float], units: Mapping[str, str] = MappingProxyType({})
) -> Constraint:
    """Read a constraint.

    Args:
        text: The text that the user typed.
        known: The names of objectives. "latency" stands for "latency@DEVICE" if there is one device.
        maximum: Returns the largest value of an objective in the space, for percentages.
        units: Units of objectives by name, such as "ms, batch 1"; a bound on another objective takes no unit.

    Raises:
        NasctlError: The text is no constraint, names no known objective, has a percentage of an unknown maximum, or has
            a unit of another quantity.
    """
    match = FORM.fullmatch(text)
    if not match or not _is_finite(match[3]):
        raise NasctlError(f"{text!r} is no constraint; write one such as latency<=20, params<=5M or macs<=60%")
    name, sign, number, suffix = real_name(match[1]), *match.groups()[1:]
    full = [one for one in known if name.replace("-", "_") in (one.replace("-", "_"), one.partition("@")[0])]
    if len(full) != 1:
        hint = f"say which: {', '.join(full)}" if full else f"there is: {', '.join(known)}"
        raise NasctlError(f"the constraint {text!r} is about {name!r}; {hint}")
    factor = maximum(full[0]) / 100 if suffix == "%" else scale(text, full[0], suffix, units.get(full[0], ""))
    bound = float(number) * factor
    if suffix != "%" and suffix.lower() not in FACTORS:  # whose bounds are part of the names of runs, to the last digit
        bound = float(f"{bound:.15g}")  # 0.0033 s are 3.3 ms
    if not math.isfinite(bound):
        raise NasctlError(f"the bound of {text!r} is too large; write a smaller one")
    return Constraint(full[0], sign.startswith("<"), bound)


def subject(text: str) -> str:
    """Return the name of the objective in a constraint, as the text spells it.

    Raises:
        NasctlError: The text is no constraint.
    """
    match = FORM.fullmatch(text)
    if not match:
        raise NasctlError(f"{text!r} is no constraint; write one such as latency<=20, params<=5M or macs<=60%")
    return real_name(match[1])


def check_positive(text: str, constraint: Constraint, unit: str) -> None:
    """Check that an upper bound on a cost is positive.

    Args:
        text: The text that the user typed.
        constraint: The constraint.
        unit: Unit of the cost, such as "ms, batch 1".

    Raises:
        NasctlError: The bound is 0 or less, which no network can hold.
    """
    if constraint.upper and constraint.bound <= 0:
        written = EXAMPLES.get(unit.partition(",")[0], "5")
        raise NasctlError(
            f"Cannot hold {text!r}: a bound on {constraint.name.partition('@')[0]} must be positive. Write a bound such"
            f" as {written}."
        )


def prefix_hint(constraint: Constraint, unit: str, least: float) -> str:
    """Return a sentence on the prefix that is probably missing in an upper bound, with a space before; "" for none.

    Args:
        constraint: The constraint.
        unit: Unit of the cost, such as "parameters".
        least: The least value of the cost that is known.
    """
    kind, bound = unit.partition(",")[0], constraint.bound
    if kind not in PREFIXED or not constraint.upper or not 0 < bound < min(1000.0, least):
        return ""
    prefix, word = next(((one, word) for one, word in PREFIXES if bound * FACTORS[one.lower()] >= least), ("", ""))
    written = unit_text(2 if prefix == "M" else 1, kind)
    return prefix and f" The bound is {bound:g} {kind}; {bound:g}{written} means {bound:g} {word}."


def real_name(name: str) -> str:
    """Return the name of an objective, which a user may spell as an alias: "macs" for "flops"."""
    head, *rest = re.split("([:@])", name, maxsplit=1)
    return (alias_of("objectives", head) or head) + "".join(rest)


def scale(text: str, name: str, suffix: str, unit: str) -> float:
    """Return the number that a suffix stands for, such as 1e6 for "M", and 1000 for "s" of a latency in ms.

    Args:
        text: The text that the user typed, for the message.
        name: The name of the objective.
        suffix: The suffix in any case, "%" excluded.
        unit: The unit of the objective, such as "ms, batch 1"; "" if it is not known.

    Raises:
        NasctlError: The suffix is neither a factor nor a unit of the objective.
    """
    kind = unit.partition(",")[0]
    own = UNITS.get(kind, {})
    if suffix.lower() in own:
        return own[suffix.lower()]
    # A bound of "10m" would be 10,000,000 ms, and its author meant 10 ms.
    if (suffix and kind == "ms") or suffix.lower() not in FACTORS:
        written = EXAMPLES.get(kind, "5, 5k or 5M")
        quantity = f"is in {kind}" if kind else "has no unit"
        raise NasctlError(f"Cannot read {suffix!r} in {text!r}: {name} {quantity}. Write a bound such as {written}.")
    return FACTORS[suffix.lower()]


def _is_finite(text: str) -> bool:
    """Return whether a text is a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False

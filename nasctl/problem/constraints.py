"""Constraints, as a user types them: "latency<=20", "params<=5M", or "macs<=60%" of the space's maximum."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from nasctl.errors import NasctlError

FORM = re.compile(r"\s*([\w.@/:=-]+?)\s*(<=?|>=?)\s*([-+]?[\d.]+(?:e[-+]?\d+)?)\s*([kMG%]?)\s*", re.IGNORECASE)

FACTORS = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}

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
        return f"{self.name}{'<=' if self.upper else '>='}{repr(self.bound).removesuffix('.0')}"


def parse(text: str, known: Sequence[str], maximum: Callable[[str], float]) -> Constraint:
    """Read a constraint.

    Args:
        text: The text that the user typed.
        known: The names of objectives. "latency" stands for "latency@DEVICE" if there is one device.
        maximum: Returns the largest value of an objective in the space, for percentages.

    Raises:
        NasctlError: The text is no constraint, names no known objective, or has a percentage of an unknown maximum.
    """
    match = FORM.fullmatch(text)
    if not match or not _is_finite(match[3]):
        raise NasctlError(f"{text!r} is no constraint; write one such as latency<=20, params<=5M or macs<=60%")
    name, sign, number, suffix = match.groups()
    full = [one for one in known if name.replace("-", "_") in (one.replace("-", "_"), one.partition("@")[0])]
    if len(full) != 1:
        hint = f"say which: {', '.join(full)}" if full else f"there is: {', '.join(known)}"
        raise NasctlError(f"the constraint {text!r} is about {name!r}; {hint}")
    bound = float(number) * (maximum(full[0]) / 100 if suffix == "%" else FACTORS[suffix.lower()])
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
    return match[1]


def _is_finite(text: str) -> bool:
    """Return whether a text is a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False

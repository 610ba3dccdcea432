"""The difference between the outputs of an exported file and those of the module."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite

import torch
from torch import Tensor

from nasctl.errors import NasctlError

TOLERANCE = 1e-4  # relative difference allowed; other orders of summation in float32 stay below 1e-6

# The same where layers round their inputs and a file sums in another order than torch: a value between two steps may be
# rounded up here and down there.
STEP_TOLERANCE = 0.25


@dataclass(frozen=True)
class Difference:
    """Difference between the outputs of an exported file and of the module."""

    absolute: float  # largest absolute difference
    relative: float  # the same, relative to the largest absolute output


def difference(expected: Tensor, found: Tensor) -> Difference:
    """Return the difference between two outputs; infinite if their shapes differ or a value is not finite."""
    largest = float((expected - found).abs().max()) if expected.shape == found.shape else inf
    if not isfinite(largest):
        return Difference(inf, inf)
    return Difference(largest, largest / max(float(expected.abs().max()), torch.finfo(torch.float32).tiny))


def check_difference(name: str, found: Difference, steps: bool = False) -> Difference:
    """Return the difference if it is small enough.

    Args:
        name: Name of the format.
        found: The difference.
        steps: Whether layers round their inputs and the file sums in another order, so that a value may become that of
            the next step.

    Raises:
        NasctlError: The difference is larger than `TOLERANCE`, or than `STEP_TOLERANCE` if there may be steps.
    """
    allowed = STEP_TOLERANCE if steps else TOLERANCE
    if found.relative > allowed:
        raise NasctlError(
            f"cannot export as {name}: the file's output differs from the module's by {found.relative:.2g} of the "
            f"largest output, and {allowed:g} is allowed; nothing was written; try another --format"
        )
    return found

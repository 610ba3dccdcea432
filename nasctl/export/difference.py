"""The difference between the outputs of an exported file and those of the module."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor

from nasctl.errors import NasctlError

TOLERANCE = 1e-4  # relative difference allowed; other orders of summation in float32 stay below 1e-6

# Where layers round their inputs and a file sums in another order than torch, a value between two steps may be rounded
# up here and down there. With 2 bits, one such value changes the outputs for its example as much as a wrong scale
# would, but only for few examples. So the median example is compared, and the share of answers that change.
STEP_TOLERANCE = 0.02  # relative difference allowed for the median example
CHANGED_ANSWERS = 0.1  # share of answers that may change


@dataclass(frozen=True)
class Difference:
    """Difference between the outputs of an exported file and of the module."""

    absolute: float  # largest absolute difference
    relative: float  # the same, relative to the largest absolute output
    median: float = 0.0  # median over examples of the largest difference of each, relative to the largest output


def example_differences(expected: Tensor, found: Tensor) -> Tensor:
    """Return the largest absolute difference of each example, (B,); infinite if shapes differ, or it is not finite."""
    if expected.shape != found.shape:
        return torch.full(expected.shape[:1], inf)
    gaps = (expected - found).abs().flatten(1).amax(1)
    return torch.where(gaps.isfinite(), gaps, inf)


def difference(expected: Tensor, found: Tensor) -> Difference:
    """Return the difference between two outputs, (B, ...); infinite if their shapes differ or a value is not finite."""
    return combined([example_differences(expected, found)], [float(expected.abs().max())])


def combined(gaps: Sequence[Tensor], largest: Sequence[float]) -> Difference:
    """Return the difference over several batches.

    Args:
        gaps: Largest absolute difference of each example of each batch, as `example_differences` returns them.
        largest: Largest absolute output of the module in each batch.
    """
    least = torch.finfo(torch.float32).tiny
    shares = torch.cat([gap / max(top, least) for gap, top in zip(gaps, largest, strict=True)])
    return Difference(float(torch.cat(list(gaps)).max()), float(shares.max()), float(shares.median()))


def check_difference(name: str, found: Difference, steps: bool = False, changed: float = 0.0) -> Difference:
    """Return the difference if it is small enough.

    Args:
        name: Name of the format.
        found: The difference.
        steps: Whether layers round their inputs and the file sums in another order, so that a value may become that of
            the next step.
        changed: Share of answers that are not the module's, which counts if there may be steps.

    Raises:
        NasctlError: The difference is larger than `TOLERANCE`; or, if there may be steps, that of the median example is
            larger than `STEP_TOLERANCE`, or more answers change than `CHANGED_ANSWERS`.
    """
    relative, allowed = (found.median, STEP_TOLERANCE) if steps else (found.relative, TOLERANCE)
    if relative > allowed:
        whose = "for the median example " if steps else ""
        raise NasctlError(
            f"cannot export as {name}: the file's output differs from the module's {whose}by {relative:.2g} of the "
            f"largest output, and {allowed:g} is allowed; nothing was written; try another --format"
        )
    if steps and changed > CHANGED_ANSWERS:
        raise NasctlError(
            f"cannot export as {name}: {changed:.0%} of the file's answers differ from the module's, and "
            f"{CHANGED_ANSWERS:.0%} are allowed; nothing was written; try another --format"
        )
    return found

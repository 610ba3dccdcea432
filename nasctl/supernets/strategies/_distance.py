"""The option `distance` of strategies whose networks learn from the outputs of a teacher."""

from __future__ import annotations

import re

from nasctl.api import BadOption


def checked_distance(strategy: str, distance: str) -> str:
    """Return a distance.

    Args:
        strategy: Name of the strategy.
        distance: "kl", "alpha", or "alpha" with a limit of inverse importance ratios behind it, such as "alpha1000".

    Raises:
        BadOption: There is no such distance.
    """
    found = re.fullmatch(r"kl|alpha(\d+(?:\.\d+)?)?", distance)
    if found is None or not float(found[1] or 1) >= 1:
        raise BadOption(
            f"Cannot use {strategy} with distance={distance}. Give distance=kl, distance=alpha, or distance=alpha1000"
            " for another limit of its ratios than 5, from 1."
        )
    return distance


__all__ = ["checked_distance"]

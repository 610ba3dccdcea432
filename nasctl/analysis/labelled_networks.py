"""Networks with known results, by which metrics are chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np


@dataclass(frozen=True)
class LabelledNetworks:
    """Values of metrics and true results of the same N networks.

    Args:
        values: Values by metric, (N,), higher is better and of a size larger; not finite where the metric failed.
        truth: True results, (N,), higher is better.
    """

    values: Mapping[str, np.ndarray]
    truth: np.ndarray

    def part(self, chosen: np.ndarray) -> Self:
        """Return the networks of an index array, (M,)."""
        return replace(
            self, values={name: values[chosen] for name, values in self.values.items()}, truth=self.truth[chosen]
        )

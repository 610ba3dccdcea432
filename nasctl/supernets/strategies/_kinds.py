"""How the choices of each gene differ from the largest network, as a strategy that masks slices keeps it."""

from __future__ import annotations

import numpy as np

from nasctl.api import StrategyContext

KINDS = ("sliced", "mixed", "free", "other")  # codes in `StoredKinds.array`

UNKNOWN = -1


class StoredKinds:
    """The kinds of the genes of a space.

    It takes seconds to find them out, and weights are used without a training too, so strategies store them.

    Args:
        context: The training.

    Attributes:
        array: Codes of the kinds, (genes,), -1 until they are asked for. It belongs into `Strategy.arrays`.
    """

    def __init__(self, context: StrategyContext) -> None:
        self._context, self.array = context, np.full(len(context.space.genes), UNKNOWN)

    def __call__(self) -> list[str]:
        """Return the kind of each gene, (genes,)."""
        if (self.array == UNKNOWN).any():
            self.array[:] = [KINDS.index(kind) for kind in self._context.gene_kinds()]
        return [KINDS[code] for code in self.array]

    def mixed(self) -> list[int]:
        """Return the places of the genes whose choices masked weights mix."""
        return [gene for gene, kind in enumerate(self()) if kind in ("sliced", "mixed")]

"""The protocol of spaces whose networks have early exits, and the folder of what their exits have learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from nasctl.compression.variant_space import Variants
from nasctl.problem.space import Genome
from nasctl.training.folder import CURRENT_STORE

if TYPE_CHECKING:
    from torch import Tensor

    from nasctl.compression.exit_outputs import ExitEvaluator


class ExitVariants(Variants, Protocol):
    """The networks with early exits that a kind of exits makes of a trained network; a genome names one."""

    def uniform(self) -> Mapping[float, Genome]:
        """Return genomes with one threshold at all exits, by this threshold."""
        ...

    def evaluator(self, batches: Sequence[Tensor]) -> ExitEvaluator:
        """Return a function that computes the outputs of many variants for the same images."""
        ...


@runtime_checkable
class HasExits(Protocol):
    """A space whose networks have early exits. It implements `CompressedSpace` too."""

    @property
    def exits(self) -> ExitVariants:
        """The networks with early exits."""
        ...


def exits_folder() -> str:
    """Return the folder of trained exits: `nasctl-exits` beside the store `nasctl.db` of the running command."""
    store = Path(CURRENT_STORE.get())
    return str(store.with_name(f"{store.stem}-exits").absolute())


__all__ = ["ExitVariants", "HasExits", "exits_folder"]

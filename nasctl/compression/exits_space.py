"""The protocol of spaces whose networks have early exits, and the folder of what their exits have learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from nasctl.networks.graph import Network
from nasctl.problem.space import Gene, Genome
from nasctl.training.folder import CURRENT_STORE

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nasctl.compression.exit_outputs import ExitEvaluator


class ExitVariants(Protocol):
    """The networks with early exits that a kind of exits makes of a trained network; a genome names one."""

    @property
    def genes(self) -> Sequence[Gene]:
        """The genes."""
        ...

    def uniform(self) -> Mapping[float, Genome]:
        """Return genomes with one threshold at all exits, by this threshold."""
        ...

    def canonical(self, genome: Genome) -> Genome:
        """Return the genome that stands for all genomes of the same network."""
        ...

    def network(self, genome: Genome) -> Network:
        """Return the network of a genome."""
        ...

    def module(self, genome: Genome) -> nn.Module:
        """Return a new module of a genome's network with its weights, in evaluation mode."""
        ...

    def evaluator(self, batches: Sequence[Tensor]) -> ExitEvaluator:
        """Return a function that computes the outputs of many variants for the same images."""
        ...


@runtime_checkable
class HasExits(Protocol):
    """A space whose networks have early exits. It implements `CompressedSpace` too."""

    exits: ExitVariants


def exits_folder() -> str:
    """Return the folder of trained exits: `nasctl-exits` beside the store `nasctl.db` of the running command."""
    store = Path(CURRENT_STORE.get())
    return str(store.with_name(f"{store.stem}-exits").absolute())


__all__ = ["ExitVariants", "HasExits", "exits_folder"]

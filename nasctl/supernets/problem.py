"""The problem of a supernet's training: a space, what its networks share, a strategy, data and a recipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nasctl.problem.space import Genome, HasShare, SearchSpace
from nasctl.problem.strategy import Strategy
from nasctl.supernets.shared_weights import SharedWeights
from nasctl.supernets.slots import Share
from nasctl.training.events import LearningProblem


@dataclass(frozen=True)
class SupernetProblem(LearningProblem):
    """A supernet and everything that its trained weights depend on.

    `network` is that of the last choices of all genes, whose input the data fit. `start` replaces the weights of the
    module of one network, whose slices of the shared weights then begin with these.

    Args:
        space: The search space, with the outputs that the data need.
        share: What candidates share.
        strategy: Spec of the strategy.
        start_genome: Canonical genome of the network that `start` has weights of; the largest one if None.
        start_supernet: Replaces all shared weights by those of another supernet, in place of `start`.
    """

    space: SearchSpace | None = None
    share: Share = "entangled"
    strategy: str = "single_path"
    start_genome: Genome | None = None
    start_supernet: Callable[[Strategy, SharedWeights], object] | None = None


def default_share(space: SearchSpace) -> Share:
    """Return what the networks of a space share unless a user says otherwise.

    A space may name it; see `HasShare`. Otherwise, weights are entangled where every gene promises that later choices
    are larger, and each kind of block has its own weights elsewhere.
    """
    if isinstance(space, HasShare):
        return space.share
    return "entangled" if all(gene.ordered for gene in space.genes) else "blocks"


__all__ = ["SupernetProblem", "default_share"]

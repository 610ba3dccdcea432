"""Pareto dominance: losses, the archive of non-dominated genomes, hypervolume and crowding."""

from nasctl.pareto.archive import Archive
from nasctl.pareto.hypervolume import REFERENCE, Scale
from nasctl.pareto.losses import front, losses, violations

__all__ = ["REFERENCE", "Archive", "Scale", "front", "losses", "violations"]

"""Pareto dominance: losses, the archive of non-dominated genomes, hypervolume, crowding distance and the knee."""

from nasctl.pareto.archive import Archive, closest_to_ideal
from nasctl.pareto.hypervolume import REFERENCE
from nasctl.pareto.hypervolume_scale import Scale
from nasctl.pareto.knee import knee
from nasctl.pareto.losses import front, losses, violations

__all__ = ["REFERENCE", "Archive", "Scale", "closest_to_ideal", "front", "knee", "losses", "violations"]

"""Features of networks for a predictor of accuracy: values of metrics, structure of the network, and genes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nasctl.prediction.feature_scale import GENES, METRICS, STRUCTURE
from nasctl.prediction.structure import structure_features
from nasctl.problem.space import Gene, Genome, SearchSpace

MOST_CHOICES = 64  # choices of a gene, above which it is a number only and no column per choice


@dataclass(frozen=True)
class FeatureBuilder:
    """A builder of features, in one order for all networks of a space.

    Args:
        space: The space.
        metrics: Names of the metrics.
        structure: Names of the features of the structure, as `structure_features` names them.
    """

    space: SearchSpace
    metrics: tuple[str, ...]
    structure: tuple[str, ...]

    @classmethod
    def of(cls, space: SearchSpace, metrics: Sequence[str], genomes: Sequence[Genome]) -> FeatureBuilder:
        """Return the builder with every feature of the structure that some network has.

        Args:
            space: The space.
            metrics: Names of the metrics; without any, features need no measurement.
            genomes: Canonical genomes of some networks of the space, labelled or not.
        """
        names = sorted(set[str]().union(*(structure_features(space.network(genome)) for genome in genomes)))
        return cls(space, tuple(metrics), tuple(names))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the features, (F,)."""
        return (*self.metrics, *self.structure, *(name for gene in self.space.genes for name in _gene_names(gene)))

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """Group of each feature, (F,): "metrics", "structure" or "genes"; see `AccuracyPredictor`."""
        genes = len(self.names) - len(self.metrics) - len(self.structure)
        return (METRICS,) * len(self.metrics) + (STRUCTURE,) * len(self.structure) + (GENES,) * genes

    def features(self, genomes: Sequence[Genome], values: Sequence[Mapping[str, float]] = ()) -> np.ndarray:
        """Return the features of networks, (N, F), NaN where a metric has no value.

        Args:
            genomes: Canonical genomes, N of them.
            values: Values of the metrics by name, N of them; without them, no metric has a value.
        """
        rows = []
        for genome, found in zip(genomes, values or [{}] * len(genomes), strict=True):
            structure = structure_features(self.space.network(genome))
            metrics = [found.get(name, np.nan) for name in self.metrics]
            genes = [one for gene, choice in zip(self.space.genes, genome, strict=True) for one in _coded(gene, choice)]
            rows.append([*metrics, *(structure.get(name, 0.0) for name in self.structure), *genes])
        return np.array(rows, dtype=float).reshape(len(rows), len(self.names))


def _gene_names(gene: Gene) -> list[str]:
    """Return the names of a gene's features: one for its place if it is ordered, and one for each choice."""
    choices = gene.choices if len(gene.choices) <= MOST_CHOICES else ()
    placed = gene.ordered or not choices
    return [*([f"{gene.name} place"] if placed else []), *(f"{gene.name} = {choice}" for choice in choices)]


def _coded(gene: Gene, choice: int) -> list[float]:
    """Return the features of a gene, in the order of `_gene_names`."""
    count = len(gene.choices)
    choices = [float(k == choice) for k in range(count)] if count <= MOST_CHOICES else []
    placed = gene.ordered or not choices
    return [*([choice / max(1, count - 1)] if placed else []), *choices]

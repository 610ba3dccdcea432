"""Benchmarks for which nasctl ships a table with the scores of all architectures."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from itertools import product

import numpy as np

from nasctl import registry
from nasctl.bench.benchmark import TabulatedObjective
from nasctl.candidates.objective import closed_form
from nasctl.errors import UnknownName
from nasctl.networks.graph import Network
from nasctl.problem.fidelity import Fidelity
from nasctl.problem.ids import spelled
from nasctl.problem.searcher import Goal
from nasctl.problem.space import Genome, Notation, SearchSpace


class LookupSpace:
    """A search space whose canonical genomes are looked up in a table, because a replay asks for many of them.

    Args:
        space: The space.
        canonical: Canonical genome of every genome.
    """

    def __init__(self, space: SearchSpace, canonical: Mapping[Genome, Genome]) -> None:
        self._space, self._canonical = space, canonical
        self.genes, self.input = space.genes, space.input
        if isinstance(space, Notation):
            self.parse, self.spell = space.parse, space.spell

    def canonical(self, genome: Genome) -> Genome:
        return self._canonical[genome]

    def network(self, genome: Genome) -> Network:
        return self._space.network(genome)

    def reduced(self, fidelity: Fidelity) -> SearchSpace:
        return self._space.reduced(fidelity)


class Listed:
    """A base class for benchmarks on all architectures of a space, with the scores that nasctl ships.

    Args:
        name: Name of the space and of its table of scores.
        canonical: Count genomes that compute the same function as one architecture.
    """

    default_objectives: Sequence[str] = ("synflow", "jacov", "snip", "macs")
    evaluations = 1000

    def __init__(self, name: str, canonical: bool) -> None:
        space: SearchSpace = registry.create("spaces", name)
        self._classes = {genome: space.canonical(genome) for genome in _all_genomes(space)}
        canonical_genomes = self._classes if canonical else {genome: genome for genome in self._classes}
        self.space: SearchSpace = LookupSpace(space, canonical_genomes)
        self.genomes = sorted(set(canonical_genomes.values()))
        self._scores = shipped_scores(name, space)
        about = json.loads(_read_shipped(f"{name}.json"))
        self._seconds = {metric: float(facts.get("seconds", 0)) for metric, facts in about["metrics"].items()}

    @property
    def names(self) -> list[str]:
        """Return the names of the columns."""
        return list(self._scores)

    def column(self, name: str) -> TabulatedObjective:
        """Return a column by its name. A genome has the scores of its canonical genome.

        Raises:
            UnknownName: There is no column of that name.
        """
        if name not in self._scores:
            raise UnknownName("objective of the benchmark", name, self.names)
        metric = registry.create("objectives", name)
        goal = Goal(name, metric.direction, metric.transform, "network" if closed_form(metric) else "module")
        values = np.array([self._scores[name][self._classes[genome]] for genome in self.genomes])
        return TabulatedObjective(goal, values, self._seconds.get(name, 0.0))

    def of(self, values: Mapping[Genome, float]) -> np.ndarray:
        """Return the values of the architectures in the order of `genomes`, (N,)."""
        return np.array([values[genome] for genome in self.genomes])


def _all_genomes(space: SearchSpace) -> list[Genome]:
    """Return every genome of a space, canonical or not."""
    return list(product(*(range(len(gene.choices)) for gene in space.genes)))


def shipped_scores(name: str, space: SearchSpace) -> dict[str, dict[Genome, float]]:
    """Return the shipped scores of all architectures of a space by column and canonical genome."""
    header, *rows = csv.reader(io.StringIO(gzip.decompress(_read_shipped(f"{name}.csv.gz")).decode()))
    genomes = [spelled(row[0], space) for row in rows]
    return {
        column: {genome: float(row[k] or "nan") for genome, row in zip(genomes, rows, strict=True) if genome}
        for k, column in enumerate(header)
        if k
    }


def _read_shipped(file: str) -> bytes:
    """Return the content of a file in `nasctl/benchmarks`."""
    return files("nasctl").joinpath("benchmarks", file).read_bytes()
